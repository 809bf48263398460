/* Unit tests of what reports say, under virtual time: loss, round trips, and where they go.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h.
 */
#include <time.h>

#include "steps.h"

#define NTP 0x12345678u

static void give_sender_report(uint32_t ssrc)
{
    uint8_t packet[28] = {0x80, 200, 0, 6};
    union address from = rtcp_of(phone(0));
    write32(packet + 4, ssrc);
    write32(packet + 10, NTP);
    endpoint_receive(&worker, 0, true, packet, sizeof packet, &from);
}

/* Of the far end at endpoint 0, as the newest report to it has it. */
static const uint8_t *block(void)
{
    rtcp_report(&worker, &worker.endpoints[0]);
    const struct sent *report = &sent[sent_count - 1];
    CHECK(report->rtcp && report->data[1] == 201 && report->data[0] == 0x81);
    return report->data + 8;
}

/* RFC 3550 6.4.1: lost by expected, in 256ths, of what came since the last report. */
static void test_the_fraction_lost_is_that_of_what_was_expected(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    give_talk(0, 600); /* over the wrap */
    block();
    give_talk(0, 602);
    CHECK(block()[4] == 128 && (read32(block() + 4) & 0xFFFFFF) == 1);
    give_talk(0, 606);
    CHECK(block()[4] == 192);
    CHECK(block()[4] == 0); /* nothing was expected */
    finish();
}

/* A.3: what comes twice makes up for what did not; in sum there may be less than none lost. */
static void test_duplicates_count_as_received(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    for (int times = 0; times < 3; times++)
        give_talk(0, 535);
    give_talk(0, 537);
    const uint8_t *told = block();
    CHECK(told[4] == 0 && (read32(told + 4) & 0xFFFFFF) == 0xFFFFFF); /* -1 */
    CHECK(read32(told + 8) == 0x10001); /* the second cycle of its numbers */
    finish();
}

/* Of one call what came twice makes up for what did not (A.3), of others it hides no loss: their sum only grows. */
static void test_duplicates_of_one_call_hide_no_loss_of_another(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    open_endpoint(1, PCMA, 101);
    give_talk(0, 10);
    give_talk(0, 13);
    for (int times = 0; times < 4; times++)
        give_talk(1, 10);
    for (int which = 0; which < 2; which++) {
        struct command stop = {.type = COMMAND_CLOSE, .handle = worker.endpoints[which].handle};
        worker_obey(&worker, &stop);
        CHECK(worker.totals.lost == 2);
    }
    finish();
}

/* 6.4.1: LSR and DLSR are of the last sender report of the very source that the block is about. */
static void test_the_last_sender_report_is_that_of_the_source(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    give_sender_report(7); /* before the first packet */
    worker.now += SECOND_NS / 2;
    give_talk(0, 1);
    CHECK(read32(block() + 16) == NTP && read32(block() + 20) == 32768);
    give_sender_report(8);
    CHECK(read32(block() + 16) == 0 && read32(block() + 20) == 0);
    give_sender_report(7);
    CHECK(read32(block() + 16) == NTP && read32(block() + 20) == 0);
    finish();
}

static void talk_from(uint16_t sequence, uint32_t timestamp)
{
    uint8_t payload[FRAME_SAMPLES] = {0};
    for (uint16_t i = 0; i < 10; i++, worker.now += FRAME_NS)
        give(0, PCMA, (uint16_t)(sequence + i), timestamp + i * FRAME_SAMPLES, payload, sizeof payload);
}

/* A.8 measures the delay of packets: no packet is under way for seconds, but a stream may count its time anew. */
static void test_timestamps_that_begin_anew_are_no_jitter(void)
{
    static const uint32_t steps[] = {0x80000000u, 0x7FFFFFFFu, 20000, (uint32_t)-20000};
    start();
    open_endpoint(0, PCMA, 101);
    uint32_t timestamp = 0;
    for (uint16_t i = 0; i < 4; i++) {
        talk_from((uint16_t)(10 * i), timestamp);
        timestamp += 10 * FRAME_SAMPLES + steps[i];
    }
    talk_from(40, timestamp);
    CHECK(receiver_jitter_ms(&worker.endpoints[0].receiver) < 1 && read32(block() + 12) < 8);
    worker.now += SECOND_NS; /* but a second too late is */
    talk_from(50, timestamp + 10 * FRAME_SAMPLES);
    CHECK(receiver_jitter_ms(&worker.endpoints[0].receiver) > 10);
    finish();
}

/* RFC 3550 4: seconds since 1900 in 32.32 bits. */
static uint64_t ntp_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return ((uint64_t)time.tv_sec + 2208988800u) << 32 | ((uint64_t)time.tv_nsec << 32) / (uint64_t)SECOND_NS;
}

static void talk_through(void)
{
    start();
    join(open_endpoint(1, PCMA, 101), open_endpoint(0, PCMA, 101));
    for (uint16_t index = 0; index < 10; index++, worker.now += FRAME_NS)
        give_talk(1, index);
}

static const uint8_t *report(void)
{
    rtcp_report(&worker, &worker.endpoints[0]);
    return sent[sent_count - 1].data;
}

/* 6.4.1: the two clocks of one moment, and what was sent up to it. */
static void test_a_sender_report_tells_what_was_sent_and_when(void)
{
    talk_through();
    uint32_t newest = sent_timestamp(sent_count - 1);
    worker.now += SECOND_NS / 2 - FRAME_NS;
    uint64_t before = ntp_time();
    const uint8_t *told = report();
    uint64_t ntp = (uint64_t)read32(told + 8) << 32 | read32(told + 12);
    CHECK(told[0] == 0x80 && told[1] == 200 && read32(told + 4) == 100);
    CHECK(before <= ntp && ntp <= ntp_time());
    CHECK(read32(told + 16) == newest + 4000);
    CHECK(read32(told + 20) == 10 && read32(told + 24) == 10 * FRAME_SAMPLES);
    finish();
}

/* 6.4: a sender is who has sent since the last report but one. */
static void test_who_has_not_sent_for_two_intervals_reports_as_a_receiver(void)
{
    talk_through();
    worker.now += 9 * SECOND_NS;
    CHECK(report()[1] == 200);
    worker.now += SECOND_NS;
    CHECK(report()[1] == 201);
    finish();
}

/* 6.4.1: under another SSRC the counts begin anew; in the call's own figures they do not. */
static void test_another_ssrc_has_sent_nothing_yet(void)
{
    talk_through();
    line_rename(&worker.endpoints[0]);
    give_talk(1, 10);
    const uint8_t *told = report();
    CHECK(read32(told + 20) == 1 && read32(told + 24) == FRAME_SAMPLES);
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = worker.endpoints[0].handle});
    const struct event *event = ring_peek(&worker.events);
    CHECK(event && event->type == EVENT_CLOSED && event->statistics.sent == 11);
    finish();
}

/* RFC 7022: of the items of SDES (6.5) a name alone, and that one by chance: no NAME, TOOL, LOC … that tells who we are. */
static void test_what_describes_us_is_a_random_name_and_nothing_else(void)
{
    talk_through();
    const uint8_t *description = report() + 28;
    CHECK(sent[sent_count - 1].length == 28 + 28);
    CHECK(description[0] == 0x81 && description[1] == 202 && read16(description + 2) == 6);
    CHECK(read32(description + 4) == 100 && description[8] == 1 && description[9] == 16);
    CHECK(description[26] == 0 && description[27] == 0);
    finish();
}

/* A receiver report of one block: about our `ssrc`, lost so many, with jitter, LSR and DLSR. */
static void give_block(uint32_t ssrc, uint32_t lost, uint32_t jitter, uint32_t last, uint32_t since)
{
    uint8_t packet[32] = {0x81, 201, 0, 7};
    union address from = rtcp_of(phone(0));
    write32(packet + 8, ssrc);
    write32(packet + 12, lost & 0xFFFFFF);
    write32(packet + 20, jitter);
    write32(packet + 24, last);
    write32(packet + 28, since);
    endpoint_receive(&worker, 0, true, packet, sizeof packet, &from);
}

/* 6.4.1: A - LSR - DLSR, in 65536ths of a second. */
static void test_a_round_trip_is_what_passed_but_for_what_the_far_end_took(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    const struct endpoint *endpoint = &worker.endpoints[0];
    uint64_t before = ntp_time();
    give_block(100, 0, 0, (uint32_t)(before >> 16) - 65536 / 2, 65536 / 4);
    double passed_ms = (double)(ntp_time() - before) / 4294967.296;
    CHECK(endpoint->round_trip_ms >= 249.9 && endpoint->round_trip_ms <= 250.1 + passed_ms);
    double known = endpoint->round_trip_ms;
    give_block(100, 0, 0, 0, (uint32_t)(ntp_time() >> 16) - 65536); /* it has seen no report of ours */
    give_block(100, 0, 0, (uint32_t)(ntp_time() >> 16) - 11 * 65536, 0);
    give_block(100, 0, 0, (uint32_t)(ntp_time() >> 16), 20 * 65536); /* less than nothing */
    give_block(101, 0, 0, (uint32_t)(ntp_time() >> 16), 0); /* about somebody else */
    CHECK(endpoint->round_trip_ms == known);
    finish();
}

/* 6.4.1: in 24 bits, below 0 where packets came twice; jitter in units of the RTP clock. */
static void test_what_the_far_end_lost_is_what_it_says_of_us(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    struct endpoint *endpoint = &worker.endpoints[0];
    CHECK(!endpoint->reported);
    give_block(99, 5, 80, 0, 0);
    CHECK(!endpoint->reported && endpoint->remote_lost == 0);
    give_block(100, 5, 80, 0, 0);
    CHECK(endpoint->reported && endpoint->remote_lost == 5 && endpoint->remote_jitter_ms == 10);
    give_block(100, (uint32_t)-3, 480, 0, 0);
    CHECK(endpoint->remote_lost == -3 && endpoint->remote_jitter_ms == 60);
    endpoint->coder.scale = 6; /* as beside Opus */
    give_block(100, 0, 480, 0, 0);
    CHECK(endpoint->remote_jitter_ms == 10);
    finish();
}

static void give_of(uint32_t ssrc, uint16_t sequence)
{
    uint8_t packet[RTP_HEADER + FRAME_SAMPLES] = {0};
    union address from = phone(0);
    rtp_write(packet, false, PCMA, sequence, 160u * sequence, ssrc);
    endpoint_receive(&worker, 0, false, packet, sizeof packet, &from);
}

/* A.1: another source, or the same begun anew, has lost nothing by that; what was lost before stays lost. */
static void test_another_source_begins_with_no_loss_and_hides_none(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    const struct receiver *receiver = &worker.endpoints[0].receiver;
    give_of(7, 10);
    give_of(7, 13);
    CHECK(receiver_lost(receiver) == 2);
    give_of(8, 100); /* another SSRC, numbers that might be the same one's */
    give_of(8, 101);
    CHECK(receiver_lost(receiver) == 2 && read32(block()) == 8 && (read32(block() + 4) & 0xFFFFFF) == 0);
    give_of(8, 30000); /* one SSRC, other numbers */
    give_of(8, 30002);
    give_of(8, 20000);
    CHECK(receiver_lost(receiver) == 3 && receiver->received_all == 7);
    struct command stop = {.type = COMMAND_CLOSE, .handle = worker.endpoints[0].handle};
    worker_obey(&worker, &stop);
    CHECK(worker.totals.lost == 3);
    finish();
}

/* RFC 4733 2.1: all packets of a key press bear the time at which it began, however late they come. */
static void test_a_long_key_press_is_no_jitter(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    talk_from(0, 0);
    for (uint16_t i = 0; i < 100; i++, worker.now += FRAME_NS)
        give(0, 101, (uint16_t)(10 + i), 10 * FRAME_SAMPLES, (const uint8_t[]){1, 10, 0, 160}, 4);
    talk_from(110, 110 * FRAME_SAMPLES);
    CHECK(receiver_jitter_ms(&worker.endpoints[0].receiver) < 1);
    finish();
}

/* Every length is believed no further than the datagram goes: the sanitizer sees each step beyond. */
static void test_reports_shorter_than_they_say_tell_nothing(void)
{
    static const uint8_t lies[][12] = {
        {0x80, 200, 0, 1, 0, 0, 0, 7},             /* a sender report without what was sent */
        {0x9F, 201, 0, 1, 0, 0, 0, 7},             /* 31 blocks that are not there */
        {0x81, 201, 0, 1, 0, 0, 0, 7, 0x80, 200, 0, 0}, /* one without a sender behind it */
        {0x80, 201, 0, 1, 0, 0, 0, 7, 0x40, 201, 0, 0}, /* another version behind it */
    };
    start();
    open_endpoint(0, PCMA, 101);
    union address from = rtcp_of(phone(0));
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        size_t length = i < 2 ? 8 : 12;
        uint8_t *packet = malloc(length);
        memcpy(packet, lies[i], length);
        endpoint_receive(&worker, 0, true, packet, length, &from);
        free(packet);
    }
    const struct endpoint *endpoint = &worker.endpoints[0];
    CHECK(!endpoint->reported && !endpoint->receiver.sender_report_at && endpoint->drops.unusable == 1);
    finish();
}

/* 6.4.1: loss is told in 24 bits with a sign, and never more than they hold. */
static void test_any_loss_is_told_in_24_bits(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    give_talk(0, 1);
    struct receiver *receiver = &worker.endpoints[0].receiver;
    receiver->highest = receiver->base + 0x900000;
    CHECK((read32(block() + 4) & 0xFFFFFF) == 0x7FFFFF);
    receiver->received = 0x1200000;
    CHECK((read32(block() + 4) & 0xFFFFFF) == 0x800000);
    finish();
}

int main(void)
{
    test_reports_shorter_than_they_say_tell_nothing();
    test_any_loss_is_told_in_24_bits();
    test_a_sender_report_tells_what_was_sent_and_when();
    test_who_has_not_sent_for_two_intervals_reports_as_a_receiver();
    test_another_ssrc_has_sent_nothing_yet();
    test_what_describes_us_is_a_random_name_and_nothing_else();
    test_a_round_trip_is_what_passed_but_for_what_the_far_end_took();
    test_what_the_far_end_lost_is_what_it_says_of_us();
    test_another_source_begins_with_no_loss_and_hides_none();
    test_a_long_key_press_is_no_jitter();
    test_timestamps_that_begin_anew_are_no_jitter();
    test_the_fraction_lost_is_that_of_what_was_expected();
    test_duplicates_count_as_received();
    test_duplicates_of_one_call_hide_no_loss_of_another();
    test_the_last_sender_report_is_that_of_the_source();
    puts("ok");
    return 0;
}
