/* Unit tests of what is taken from the network, under virtual time: floods, reports, one line for a day.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h.
 */
#include "steps.h"

static void configure(uint32_t handle, struct remote remote)
{
    struct command command = {.type = COMMAND_CONFIGURE, .handle = handle, .remote = remote};
    worker_obey(&worker, &command);
}

static struct remote behind_nat(union address address)
{
    struct remote remote = remote_at(address, PCMA, 101);
    remote.announced.nat = true;
    return remote;
}

static void give_frame(union address from, uint16_t sequence)
{
    uint8_t payload[FRAME_SAMPLES] = {0};
    give_from(from, 0, PCMA, sequence, 160u * sequence, payload, sizeof payload);
}

static uint64_t received(void)
{
    return worker.endpoints[0].receiver.received_all;
}

static size_t report_of(uint32_t ssrc, uint32_t of, uint8_t *packet)
{
    memset(packet, 0, 32);
    packet[0] = 0x81;
    packet[1] = 201;
    packet[3] = 7;
    write32(packet + 4, ssrc);
    write32(packet + 8, of);
    write32(packet + 12, 5);
    return 32;
}

static void give_report(union address from, bool rtcp)
{
    uint8_t packet[32];
    size_t length = report_of(7, 100, packet);
    endpoint_receive(&worker, 0, rtcp, packet, length, &from);
}

/* RFC 3550 5.1, 5.3.1: three CSRCs, an extension of two words and four octets of padding around eight of voice. */
static size_t with_everything(uint8_t *packet)
{
    static const uint8_t whole[] = {0xB3, 0x88, 0, 9, 0, 0, 0, 160, 0, 0, 0, 7, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3,
                                    0xBE, 0xDE, 0, 2, 4, 4, 4, 4, 5, 5, 5, 5, 'v', 'o', 'i', 'c', 'e', 'o', 'f', 'a',
                                    0, 0, 0, 4};
    memcpy(packet, whole, sizeof whole);
    return sizeof whole;
}

/* Of exactly so many bytes: the sanitizer sees each step beyond. */
static bool parses(const uint8_t *from, size_t length, struct rtp *rtp)
{
    uint8_t *packet = malloc(length ? length : 1);
    memcpy(packet, from, length);
    bool parsed = rtp_parse(rtp, packet, length);
    CHECK(!parsed || (rtp->payload >= packet + RTP_HEADER && rtp->payload + rtp->length <= packet + length));
    free(packet);
    return parsed;
}

static void test_what_stands_around_the_voice_is_taken_off(void)
{
    uint8_t packet[64];
    struct rtp rtp;
    CHECK(rtp_parse(&rtp, packet, with_everything(packet)));
    CHECK(rtp.length == 8 && !memcmp(rtp.payload, "voiceofa", 8) && rtp.samples == 8 && rtp.marker && rtp.payload_type == PCMA);
    CHECK(rtp.sequence == 9 && rtp.timestamp == 160 && rtp.ssrc == 7);
}

static void test_counts_that_point_past_the_end_are_no_rtp(void)
{
    uint8_t packet[64];
    struct rtp rtp;
    size_t length = with_everything(packet);
    for (size_t cut = 0; cut < length; cut++) { /* the last octet is taken for the padding's */
        bool whole = cut >= 37 && packet[cut - 1] && packet[cut - 1] <= cut - 36;
        CHECK(parses(packet, cut, &rtp) == whole);
    }
    for (int version = 0; version < 4; version++) {
        packet[0] = (uint8_t)(version << 6 | 0x33);
        CHECK(parses(packet, length, &rtp) == (version == 2));
    }
    with_everything(packet);
    for (int padding = 0; padding < 256; padding++) { /* 5.1: it counts itself, so it is never 0 */
        packet[length - 1] = (uint8_t)padding;
        CHECK(parses(packet, length, &rtp) == (padding >= 1 && padding <= 12));
    }
    length = with_everything(packet);
    for (int words = 0; words < 65536; words++) {
        write16(packet + 26, (uint16_t)words);
        CHECK(parses(packet, length, &rtp) == (words <= 4));
    }
    for (int csrcs = 0; csrcs < 16; csrcs++) {
        uint8_t plain[RTP_HEADER + 20] = {(uint8_t)(0x80 | csrcs), PCMA};
        CHECK(parses(plain, sizeof plain, &rtp) == (csrcs <= 5));
    }
}

static void test_reports_count_only_from_the_far_end(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    struct endpoint *endpoint = &worker.endpoints[0];
    give_report(host_at(INADDR_LOOPBACK, 4009), true);
    give_report(host_at(INADDR_LOOPBACK + 1, 4001), true);
    CHECK(endpoint->remote_lost == 0 && endpoint->drops.strangers == 2);
    give_report(rtcp_of(phone(0)), true);
    CHECK(endpoint->remote_lost == 5 && endpoint->drops.strangers == 2);
    finish();
}

/* Behind NAT the port of RTCP is as unforeseeable as that of RTP: the first one is kept. */
static void test_behind_nat_the_first_reports_port_is_held(void)
{
    start();
    configure(open_endpoint(0, PCMA, 101), behind_nat(phone(0)));
    give_report(host_at(INADDR_LOOPBACK + 1, 7001), true);
    CHECK(worker.endpoints[0].drops.strangers == 1);
    give_report(host_at(INADDR_LOOPBACK, 7001), true);
    give_report(host_at(INADDR_LOOPBACK, 7003), true);
    CHECK(worker.endpoints[0].drops.strangers == 2);
    CHECK(address_port(&worker.endpoints[0].latch.rtcp_from) == 7001);
    configure(worker.endpoints[0].handle, behind_nat(phone(1))); /* elsewhere now: the first one there */
    give_report(host_at(INADDR_LOOPBACK, 7003), true);
    CHECK(address_port(&worker.endpoints[0].latch.rtcp_from) == 7003);
    finish();
}

/* Many a device has one socket for what it sends, and listens elsewhere. */
static void test_reports_may_come_from_where_the_voice_does_but_not_without_agreement_to_its_port(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    give_report(phone(0), true);
    CHECK(worker.endpoints[0].remote_lost == 5 && worker.endpoints[0].drops.strangers == 0);
    worker.endpoints[0].remote_lost = 0;
    give_report(phone(0), false); /* RFC 5761 5.1.1: no a=rtcp-mux, no multiplexing */
    CHECK(worker.endpoints[0].remote_lost == 0 && worker.endpoints[0].drops.unusable == 1);
    finish();
}

/* RFC 5761: one port for both, told apart by the second byte. */
static void test_multiplexed_reports_come_and_go_on_the_port_of_rtp(void)
{
    start();
    struct remote remote = remote_at(phone(0), PCMA, 101);
    remote.announced.mux = true;
    configure(open_endpoint(0, PCMA, 101), remote);
    give_report(phone(0), false);
    CHECK(worker.endpoints[0].remote_lost == 5 && worker.totals.packets_in == 0);
    marked = true;
    give_talk(0, 1); /* with the marker it is PCMA all the same */
    CHECK(worker.totals.packets_in == 1 && received() == 1);
    for (int sweeps = 0; sweeps < 60; sweeps++, worker.now += SECOND_NS / 10)
        worker_sweep(&worker);
    CHECK(sent_count >= 1 && !sent[0].rtcp && sent[0].data[1] == 201);
    CHECK(same_address(&sent[0].to, &worker.endpoints[0].latch.from));
    finish();
}

/* RFC 3550 6.2: five seconds on the average of e - 3/2, never in step. */
static void test_reports_are_spread_around_their_interval(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    int64_t least = INT64_MAX, most = 0, sum = 0;
    for (int i = 0; i < 10000; i++) {
        int64_t interval = rtcp_interval(&worker.endpoints[0], false);
        least = interval < least ? interval : least;
        most = interval > most ? interval : most;
        sum += interval;
    }
    CHECK(least > 2 * SECOND_NS && least < 21 * SECOND_NS / 10 && most > 61 * SECOND_NS / 10 && most < 62 * SECOND_NS / 10);
    CHECK(sum / 10000 > 40 * SECOND_NS / 10 && sum / 10000 < 42 * SECOND_NS / 10);
    finish();
}

/* RFC 3550 6.4: who is silent reports as a receiver; 6.3.7: the end is told. */
static void test_a_silent_side_sends_receiver_reports_and_the_end_is_a_goodbye(void)
{
    start();
    struct command close = {.type = COMMAND_CLOSE, .handle = open_endpoint(0, PCMA, 101)};
    give_talk(0, 1);
    worker_obey(&worker, &close);
    CHECK(sent_count == 1 && sent[0].rtcp && sent[0].data[1] == 201 && sent[0].length == 32 + 28 + 8);
    const uint8_t *goodbye = sent[0].data + 60;
    CHECK(goodbye[1] == 203 && read32(goodbye + 4) == 100);
    for (size_t i = 0; i < 16; i++)
        CHECK(strchr("0123456789abcdef", sent[0].data[32 + 10 + i])); /* RFC 7022: the CNAME tells nothing */
    finish();
}

static void test_compound_packets_that_lie_about_their_length_are_no_reports(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    union address from = rtcp_of(phone(0));
    for (uint32_t cut = 0; cut < 32; cut++) {
        uint8_t whole[32], *packet = malloc(cut ? cut : 1);
        memcpy(packet, whole, report_of(7, 100, whole) ? cut : 0);
        endpoint_receive(&worker, 0, true, packet, cut, &from);
        free(packet);
    }
    CHECK(worker.endpoints[0].remote_lost == 0 && worker.endpoints[0].drops.unusable == 32);
    finish();
}

/* RFC 3550 8.2: the far end happens to use our SSRC. A mirror does so for ever and is not followed. */
static void test_an_ssrc_collision_gives_our_side_another_one_once(void)
{
    start();
    uint32_t a = open_endpoint(0, PCMA, 101);
    join(a, open_endpoint(1, PCMA, 101));
    give_talk(1, 1);
    CHECK(read32(sent[0].data + 8) == 100);
    uint32_t first = 0;
    for (uint16_t i = 0; i < 3; i++) {
        uint8_t packet[RTP_HEADER + FRAME_SAMPLES] = {0};
        union address from = phone(0);
        rtp_write(packet, false, PCMA, i, 160u * i, i ? worker.endpoints[0].line.ssrc : 100);
        endpoint_receive(&worker, 0, false, packet, sizeof packet, &from);
        first = i ? first : worker.endpoints[0].line.ssrc;
    }
    uint32_t ssrc = worker.endpoints[0].line.ssrc;
    CHECK(sent[1].rtcp && sent[1].data[sent[1].length - 7] == 203 && read32(sent[1].data + 4) == 100);
    CHECK(ssrc != 100 && ssrc == first);
    give_talk(1, 2);
    CHECK(read32(sent[sent_count - 1].data + 8) == ssrc);
    CHECK((uint16_t)(sent_sequence(sent_count - 1) - sent_sequence(0)) == 1);
    configure(a, remote_at(phone(5), PCMA, 101)); /* another far end may happen to use it, too */
    uint8_t packet[RTP_HEADER + FRAME_SAMPLES] = {0};
    union address from = phone(5);
    rtp_write(packet, false, PCMA, 1, 160, ssrc);
    endpoint_receive(&worker, 0, false, packet, sizeof packet, &from);
    CHECK(worker.endpoints[0].line.ssrc != ssrc);
    finish();
}

/* RFC 4291: the same over IPv6, and from one family to the other. */
static void test_talk_crosses_from_ipv6_to_ipv4_and_back(void)
{
    start();
    uint32_t a = open_endpoint(0, PCMA, 101), b = open_endpoint(1, PCMA, 101);
    union address six = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(5000), .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
    union address other = six;
    other.v6.sin6_addr.s6_addr[0] = 0xFD;
    configure(a, remote_at(six, PCMA, 101));
    join(a, b);
    give_frame(other, 1);
    give_frame(six, 2);
    give_talk(1, 1);
    CHECK(worker.endpoints[0].drops.strangers == 1 && sent_count == 2);
    CHECK(same_address(&sent[0].to, &(union address){.v4 = phone(1).v4}) && same_address(&sent[1].to, &six));
    CHECK(address_length(&sent[1].to) == sizeof(struct sockaddr_in6));
    configure(a, remote_at((union address){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(5000)}}, PCMA, 101));
    give_talk(1, 2);
    CHECK(sent_count == 2); /* :: is hold, as 0.0.0.0 is (RFC 3264 8.4) */
    finish();
}

/* The far end itself may send too much: what is beyond the rate is dropped, at its pace it is heard again. */
static void test_a_far_end_is_heard_at_the_highest_rate_and_no_faster(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    for (uint16_t i = 0; i < 900; i++)
        give_frame(phone(0), i);
    CHECK(received() == 251 && worker.totals.drops.excess == 649); /* half a second's worth at once */
    for (uint16_t i = 900; i < 1400; i++, worker.now += SECOND_NS / 500)
        give_frame(phone(0), i);
    CHECK(received() >= 750);
    finish();
}

static void test_a_flooded_port_is_not_read_until_the_next_sweep(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    pauses = resumptions = 0;
    for (uint32_t i = 0; i < 5000; i++)
        give_frame(host_at(0x0A000001, 6000), (uint16_t)i);
    CHECK(pauses == 1 && resumptions == 0 && worker.totals.storms == 1);
    worker.now += SECOND_NS / 10;
    worker_sweep(&worker);
    CHECK(resumptions == 1);
    give_frame(phone(0), 1);
    CHECK(received() == 1 && pauses == 1);
    finish();
}

/* RFC 3389: comfort noise, which nobody agreed on, and the pause behind it are a pause to the other side, without loss. */
static void test_a_pause_with_comfort_noise_is_a_pause_in_time_only(void)
{
    start();
    join(open_endpoint(0, PCMA, 101), open_endpoint(1, PCMA, 101));
    uint8_t noise[1] = {60}, voice[FRAME_SAMPLES] = {0};
    give(0, PCMA, 10, 1000, voice, sizeof voice);
    for (uint16_t i = 1; i < 50; i++) {
        worker.now += SECOND_NS / 5;
        give(0, COMFORT_NOISE, (uint16_t)(10 + i), 1000 + 1600u * i, noise, sizeof noise);
    }
    worker.now += SECOND_NS / 5;
    give(0, PCMA, 60, 1000 + 1600 * 50, voice, sizeof voice);
    give(0, PCMA, 60, 1000 + 1600 * 50, voice, sizeof voice); /* twice: the far end knows it by its number */
    CHECK(sent_count == 3 && (uint16_t)(sent_sequence(1) - sent_sequence(0)) == 1);
    CHECK(sent_timestamp(1) - sent_timestamp(0) == 1600 * 50 && sent_sequence(2) == sent_sequence(1));
    CHECK(receiver_lost(&worker.endpoints[0].receiver) == -1 && !worker.endpoints[0].silent);
    finish();
}

/* 24 hours between clocks that are 100 ppm apart: one line without a seam, nothing counted as lost, no memory taken. */
static void test_a_day_of_talk_is_one_line(void)
{
    start();
    join(open_endpoint(0, PCMA, 101), open_endpoint(1, PCMU, 101));
    static uint8_t packet[RTP_HEADER + FRAME_SAMPLES];
    union address from = phone(0);
    uint16_t sequence = 0;
    uint32_t timestamp = 0, relayed = 0;
    for (uint32_t i = 0; i < 24 * 3600 * 50; i++, worker.now += FRAME_NS + FRAME_NS / 10000) {
        rtp_write(packet, false, PCMA, (uint16_t)(i + 65000), 160 * i + 0xFFFF0000u, 7);
        endpoint_receive(&worker, 0, false, packet, sizeof packet, &from);
        const struct sent *last = &sent[(sent_count - 1) % SENT];
        CHECK(!last->rtcp && (!i || (uint16_t)(read16(last->data + 2) - sequence) == 1));
        CHECK(!i || read32(last->data + 4) - timestamp == FRAME_SAMPLES);
        sequence = read16(last->data + 2);
        timestamp = read32(last->data + 4);
        relayed++;
        if (i % 250 == 0)
            worker_sweep(&worker);
        if (i % 5000 == 0)
            count_events(EVENT_TOTALS);
    }
    CHECK(relayed == worker.endpoints[1].line.packets && receiver_lost(&worker.endpoints[0].receiver) == 0);
    CHECK(receiver_jitter_ms(&worker.endpoints[0].receiver) < 1 && worker.totals.events_lost == 0);
    finish();
}

/* RFC 3550 A.8: the distance of two packets needs two of them; what is timed as an event is none. */
static void test_a_stream_that_begins_with_comfort_noise_has_no_jitter_by_that(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    give(0, COMFORT_NOISE, 64999, 0, (const uint8_t *)"0", 1);
    for (uint16_t i = 0; i < 10; i++) {
        worker.now += FRAME_NS;
        give_talk(0, i);
    }
    CHECK(receiver_jitter_ms(&worker.endpoints[0].receiver) < 1);
    finish();
}

/* Numbers that have gone round once look like the last ones again (RFC 3550 5.1: 16 bits are 22 minutes of talk). */
static void test_who_comes_back_after_any_time_is_heard_at_once(void)
{
    static const uint32_t away[] = {100, 32768, 65536 - 400, 65536, 3 * 65536 - 400};
    for (size_t i = 0; i < sizeof away / sizeof *away; i++) {
        uint8_t payload[FRAME_SAMPLES] = {0};
        start();
        uint32_t a = open_endpoint(0, PCMA, 101), b = open_endpoint(1, PCMA, 101);
        for (uint32_t n = 0; n < 20; n++, worker.now += FRAME_NS) {
            if (n == 10) { /* with somebody else meanwhile */
                join(a, open_endpoint(2, PCMA, 101));
                worker.now += away[i] * FRAME_NS;
            }
            if (n % 10 == 0)
                join(a, b);
            uint32_t index = n + (n < 10 ? 0 : away[i]);
            give(0, PCMA, (uint16_t)index, index * FRAME_SAMPLES, payload, sizeof payload);
            CHECK(sent_count == n + 1);
            CHECK(!n || (sent_sequence(n) == (uint16_t)(sent_sequence(n - 1) + (n == 10 && away[i] < 500 ? 1 + away[i] : 1))));
        }
        finish();
    }
}

int main(void)
{
    test_what_stands_around_the_voice_is_taken_off();
    test_counts_that_point_past_the_end_are_no_rtp();
    test_reports_may_come_from_where_the_voice_does_but_not_without_agreement_to_its_port();
    test_who_comes_back_after_any_time_is_heard_at_once();
    test_a_stream_that_begins_with_comfort_noise_has_no_jitter_by_that();
    test_a_pause_with_comfort_noise_is_a_pause_in_time_only();
    test_a_day_of_talk_is_one_line();
    test_reports_count_only_from_the_far_end();
    test_behind_nat_the_first_reports_port_is_held();
    test_multiplexed_reports_come_and_go_on_the_port_of_rtp();
    test_reports_are_spread_around_their_interval();
    test_a_silent_side_sends_receiver_reports_and_the_end_is_a_goodbye();
    test_compound_packets_that_lie_about_their_length_are_no_reports();
    test_an_ssrc_collision_gives_our_side_another_one_once();
    test_talk_crosses_from_ipv6_to_ipv4_and_back();
    test_a_far_end_is_heard_at_the_highest_rate_and_no_faster();
    test_a_flooded_port_is_not_read_until_the_next_sweep();
    puts("ok");
    return 0;
}
