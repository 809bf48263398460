/* Unit tests of what reports say, under virtual time: loss, round trips, and where they go.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h.
 */
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

int main(void)
{
    test_timestamps_that_begin_anew_are_no_jitter();
    test_the_fraction_lost_is_that_of_what_was_expected();
    test_duplicates_count_as_received();
    test_the_last_sender_report_is_that_of_the_source();
    puts("ok");
    return 0;
}
