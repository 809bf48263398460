/* Unit tests of the latch under virtual time: who is heard behind NAT, and who of those that spray ports is not.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h. The phone's SDP
 * names phone(0), on loopback; its SIP comes from PROXY.
 */
#include "steps.h"

#define PROXY 0x0A000001
#define ELSEWHERE 0x0A000002
#define STRANGER 0x0A000003

static uint32_t handle;

static void announce(union address address)
{
    struct command command = {.type = COMMAND_CONFIGURE, .handle = handle, .remote = remote_at(address, PCMA, 101)};
    command.remote.announced.nat = true;
    command.remote.announced.signalling = host_at(PROXY, 0);
    worker_obey(&worker, &command);
}

static void begin(void)
{
    start();
    handle = open_endpoint(0, PCMA, 101);
    announce(phone(0));
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

static bool sends_to(union address address)
{
    return same_address(&worker.endpoints[0].line.to, &address);
}

/* So many packets at their pace; how many of them count. */
static uint64_t counted(union address from, uint16_t packets)
{
    static uint16_t sequence;
    uint64_t before = received();
    for (uint16_t i = 0; i < packets; i++, worker.now += FRAME_NS)
        give_frame(from, sequence++);
    sequence += 100;
    return received() - before;
}

/* Two at once, at the same pace. */
static void both(union address one, union address other, uint16_t first, uint16_t packets)
{
    for (uint16_t i = first; i < first + packets; i++, worker.now += FRAME_NS) {
        give_frame(one, i);
        give_frame(other, (uint16_t)(i + 900));
    }
}

/* RFC 3550 A.1: who guesses numbers is no stream. */
static void test_behind_nat_packets_without_a_line_move_nobody(void)
{
    begin();
    union address stranger = host_at(PROXY, 6000);
    for (uint16_t i = 0; i < 50; i++)
        give_frame(stranger, (uint16_t)(i * 331));
    for (uint16_t i = 0; i < 50; i++)
        give_frame(stranger, 7);
    CHECK(received() == 0 && worker.totals.drops.strangers == 100);
    CHECK(sends_to(phone(0)));
    finish();
}

/* RFC 7362: the NAT has chosen the port, and perhaps the host, but that is where SIP comes from too. */
static void test_a_host_that_signalling_names_needs_three_packets(void)
{
    const uint32_t hosts[] = {INADDR_LOOPBACK, PROXY};
    for (int i = 0; i < 2; i++) {
        begin();
        CHECK(counted(host_at(hosts[i], 6000), 10) == 8 && sends_to(host_at(hosts[i], 6000)));
        finish();
    }
}

/* A phone may pause (DTX), and a machine may stand still. */
static void test_a_host_that_signalling_names_need_not_be_steady(void)
{
    begin();
    for (uint16_t i = 0; i < 5; i++, worker.now += SECOND_NS)
        give_frame(host_at(PROXY, 6000), i);
    CHECK(received() == 3);
    finish();
}

static void test_any_other_host_needs_a_steady_stream_of_150_ms(void)
{
    begin();
    CHECK(counted(host_at(ELSEWHERE, 6000), 8) == 0 && sends_to(phone(0)));
    worker.now += SECOND_NS;
    CHECK(counted(host_at(ELSEWHERE, 6000), 10) == 2 && sends_to(host_at(ELSEWHERE, 6000)));
    finish();
}

/* Who sprays all ports with lines of RTP, in one burst or coming round again and again. */
static void test_who_sprays_the_ports_is_not_heard_and_gets_nothing(void)
{
    begin();
    for (uint16_t i = 0; i < 50; i++)
        give_frame(host_at(STRANGER, 6000), i);
    for (uint16_t i = 50; i < 100; i++, worker.now += SECOND_NS / 4)
        give_frame(host_at(STRANGER, 6000), i);
    CHECK(received() == 0 && sends_to(phone(0)) && worker.totals.drops.strangers == 100);
    finish();
}

/* Neither can be told from the other, so neither gets the talk: the true one does once the other goes on to the next port. */
static void test_of_two_unknown_hosts_at_once_neither_is_heard_until_one_gives_up(void)
{
    begin();
    union address ours = host_at(ELSEWHERE, 6000), other = host_at(STRANGER, 6000);
    both(ours, other, 0, 200);
    CHECK(received() == 0 && sends_to(phone(0)));
    for (uint16_t i = 200; i < 220; i++, worker.now += FRAME_NS)
        give_frame(ours, i);
    CHECK(received() == 10 && sends_to(ours));
    finish();
}

static void test_a_host_that_signalling_names_is_heard_whoever_sprays_at_once_or_was_there_before(void)
{
    begin();
    union address ours = host_at(PROXY, 6000), other = host_at(STRANGER, 6000);
    both(ours, other, 0, 50);
    CHECK(received() == 48 && sends_to(ours));
    finish();
    begin();
    CHECK(counted(other, 200) == 192 && sends_to(other)); /* while the phone still rang */
    uint64_t before = received();
    both(ours, other, 0, 50);
    CHECK(received() == before + 2 + 48 && sends_to(ours));
    finish();
}

/* The proxy's host has a media gateway too, whose last call on our port is not over for it. */
static void test_what_is_left_of_another_call_gives_way_to_the_address_that_sdp_names(void)
{
    begin();
    CHECK(counted(host_at(PROXY, 6000), 200) == 198);
    uint64_t before = received();
    both(phone(0), host_at(PROXY, 6000), 0, 50);
    CHECK(received() == before + 2 + 48 && sends_to(phone(0)));
    finish();
}

/* Singles from everywhere don't drive out the line that a phone has begun. */
static void test_single_packets_from_everywhere_keep_nobody_out(void)
{
    begin();
    for (uint16_t i = 0; i < 20; i++, worker.now += FRAME_NS) {
        give_frame(host_at(ELSEWHERE, 6000), i);
        give_frame(host_at(STRANGER + i, 6000), 7);
        give_frame(host_at(STRANGER + i, 6001), 7);
    }
    CHECK(received() == 12);
    finish();
}

/* Also the announced source wins at once, and then holds its port against everybody while it talks. */
static void test_live_talk_is_not_taken_over_by_any_flood(void)
{
    begin();
    union address stranger = host_at(INADDR_LOOPBACK, 6000); /* even from the same host */
    for (uint16_t i = 0; i < 500; i++, worker.now += FRAME_NS) {
        give_frame(phone(0), i);
        for (uint16_t k = 0; k < 5; k++)
            give_frame(stranger, (uint16_t)(5 * i + k));
    }
    CHECK(received() == 500 && worker.endpoints[0].drops.strangers == 2500);
    finish();
}

/* Whoever counts keeps its place between two of its packets, and in a pause as short as jitter and DTX make them. */
static void test_nobody_comes_in_between_two_packets_of_live_talk(void)
{
    for (int pause = 0; pause < 2; pause++) {
        begin();
        for (uint16_t i = 0; i < 100; i++) {
            give_frame(phone(0), i);
            for (uint16_t k = 0; k < 8; k++) {
                worker.now += (pause ? 480 : 20) * SECOND_NS / 1000 / 8;
                give_frame(host_at(INADDR_LOOPBACK, 6000), (uint16_t)(8 * i + k));
            }
        }
        CHECK(received() == 100 && sends_to(phone(0)));
        finish();
    }
}

/* RFC 3550 A.1: a line is one source's. */
static void test_packets_of_ever_another_ssrc_are_no_line(void)
{
    begin();
    union address from = host_at(PROXY, 6000);
    for (uint16_t i = 0; i < 50; i++, worker.now += FRAME_NS) {
        uint8_t packet[RTP_HEADER + FRAME_SAMPLES];
        rtp_write(packet, false, PCMA, i, 160u * i, i);
        endpoint_receive(&worker, 0, false, packet, sizeof packet, &from);
    }
    CHECK(received() == 0 && sends_to(phone(0)));
    finish();
}

/* However long they last: 150 ms are three packets of 60 ms. */
static void test_any_other_host_needs_five_packets_of_any_length(void)
{
    begin();
    for (uint16_t i = 0; i < 5; i++, worker.now += 60 * SECOND_NS / 1000)
        give_frame(host_at(ELSEWHERE, 6000), i);
    CHECK(received() == 1);
    finish();
}

/* Lines that were given up before they proved anything keep no place. */
static void test_who_tried_and_went_away_keeps_nobody_out(void)
{
    begin();
    for (uint16_t k = 0; k < 3; k++)
        for (uint16_t i = 0; i < 7; i++, worker.now += FRAME_NS)
            give_frame(host_at(STRANGER + k, 6000), i);
    worker.now += SECOND_NS;
    for (uint16_t i = 0; i < 20; i++, worker.now += FRAME_NS) {
        give_frame(host_at(ELSEWHERE, 6000), i);
        give_frame(host_at(STRANGER + 10u + i, 6000), 7);
        give_frame(host_at(STRANGER + 50u + i, 6000), 7);
    }
    CHECK(received() == 12);
    finish();
}

/* What it sent while somebody else won proves nothing later. */
static void test_who_lost_begins_anew(void)
{
    begin();
    both(host_at(PROXY, 6000), host_at(PROXY, 6002), 0, 3);
    CHECK(received() == 1 && sends_to(host_at(PROXY, 6000)));
    worker.now += SECOND_NS;
    give_frame(host_at(PROXY, 6002), 902);
    give_frame(host_at(PROXY, 6002), 903);
    CHECK(received() == 1);
    give_frame(host_at(PROXY, 6002), 904);
    CHECK(received() == 2 && sends_to(host_at(PROXY, 6002)));
    finish();
}

static void test_an_unknown_host_that_talks_is_not_replaced_by_another(void)
{
    begin();
    CHECK(counted(host_at(ELSEWHERE, 6000), 20) == 12);
    uint64_t before = received();
    both(host_at(ELSEWHERE, 6000), host_at(STRANGER, 6000), 5000, 500);
    CHECK(received() == before + 500 && sends_to(host_at(ELSEWHERE, 6000)));
    finish();
}

/* It won the place and went on to the next port: the phone must not be shut out for the rest of the call. */
static void test_an_unknown_host_that_is_soon_silent_leaves_its_place_to_whoever_comes(void)
{
    begin();
    CHECK(counted(host_at(STRANGER, 6000), 20) == 12);
    worker.now += SECOND_NS;
    CHECK(counted(host_at(ELSEWHERE, 6000), 200) == 192 && sends_to(host_at(ELSEWHERE, 6000)));
    worker.now += SECOND_NS;
    CHECK(counted(host_at(STRANGER, 6000), 200) == 0); /* this one was heard for long */
    CHECK(counted(host_at(ELSEWHERE, 6002), 20) == 12); /* its NAT has chosen another port */
    finish();
}

/* A phone on hold is silent: its place is not free for that, however often it is said anew where it is. */
static void test_a_reinvite_that_names_the_same_address_opens_nothing(void)
{
    begin();
    CHECK(counted(phone(0), 300) == 300);
    for (int round = 0; round < 3; round++) {
        worker.now += SECOND_NS;
        announce(phone(0));
        CHECK(counted(host_at(STRANGER, 6000), 100) == 0 && sends_to(phone(0)));
    }
    CHECK(counted(phone(0), 10) == 10);
    finish();
}

static void test_another_address_in_sdp_begins_anew(void)
{
    begin();
    CHECK(counted(host_at(PROXY, 6000), 10) == 8);
    announce(phone(1));
    CHECK(sends_to(phone(1)) && counted(host_at(ELSEWHERE, 6000), 10) == 2 && counted(phone(1), 10) == 8);
    finish();
}

/* RFC 2543 B.5: hold by 0.0.0.0 says that nothing may be sent, not that somebody else will talk. */
static void test_hold_by_no_address_leaves_the_place_taken(void)
{
    begin();
    CHECK(counted(host_at(PROXY, 6000), 10) == 8);
    announce(host_at(0, 4000));
    CHECK(counted(host_at(STRANGER, 6000), 100) == 0 && !worker.endpoints[0].line.open);
    uint32_t before = sent_count;
    for (int sweep = 0; sweep < 100; sweep++, worker.now += SECOND_NS / 10)
        worker_sweep(&worker);
    CHECK(sent_count == before);
    announce(phone(0));
    CHECK(counted(host_at(PROXY, 6000), 10) == 10 && sends_to(host_at(PROXY, 6000)) && worker.endpoints[0].line.open);
    finish();
}

static bool reports_to(union address address)
{
    return same_address(&worker.endpoints[0].latch.rtcp_from, &address);
}

/* What SDP says of its ports is as wrong behind NAT as it was before: no report has come yet that could tell. */
static void test_a_reinvite_leaves_reports_to_whoever_was_taken_for_the_far_end(void)
{
    begin();
    CHECK(reports_to(rtcp_of(phone(0))));
    CHECK(counted(host_at(PROXY, 6000), 10) == 8 && reports_to(host_at(PROXY, 6001)));
    announce(phone(0));
    CHECK(sends_to(host_at(PROXY, 6000)) && reports_to(host_at(PROXY, 6001)));
    announce(host_at(0, 4000)); /* hold */
    announce(phone(0));
    CHECK(reports_to(host_at(PROXY, 6001)));
    finish();
}

/* RFC 5761 and RFC 3605: where it goes is agreed on anew each time, also about the same address. */
static void test_a_reinvite_that_changes_how_reports_go_is_followed(void)
{
    begin();
    struct command command = {.type = COMMAND_CONFIGURE, .handle = handle, .remote = remote_at(phone(0), PCMA, 101)};
    command.remote.announced.nat = true;
    command.remote.announced.rtcp_port = 4711;
    worker_obey(&worker, &command);
    CHECK(reports_to(host_at(INADDR_LOOPBACK, 4711)));
    CHECK(counted(host_at(INADDR_LOOPBACK, 6000), 10) == 8);
    command.remote.announced.mux = true;
    worker_obey(&worker, &command);
    CHECK(reports_to(host_at(INADDR_LOOPBACK, 6000)));
    command.remote.announced.mux = false;
    worker_obey(&worker, &command);
    CHECK(reports_to(host_at(INADDR_LOOPBACK, 6001)));
    finish();
}

int main(void)
{
    test_nobody_comes_in_between_two_packets_of_live_talk();
    test_packets_of_ever_another_ssrc_are_no_line();
    test_any_other_host_needs_five_packets_of_any_length();
    test_who_tried_and_went_away_keeps_nobody_out();
    test_who_lost_begins_anew();
    test_behind_nat_packets_without_a_line_move_nobody();
    test_a_host_that_signalling_names_needs_three_packets();
    test_a_host_that_signalling_names_need_not_be_steady();
    test_any_other_host_needs_a_steady_stream_of_150_ms();
    test_who_sprays_the_ports_is_not_heard_and_gets_nothing();
    test_of_two_unknown_hosts_at_once_neither_is_heard_until_one_gives_up();
    test_a_host_that_signalling_names_is_heard_whoever_sprays_at_once_or_was_there_before();
    test_what_is_left_of_another_call_gives_way_to_the_address_that_sdp_names();
    test_single_packets_from_everywhere_keep_nobody_out();
    test_live_talk_is_not_taken_over_by_any_flood();
    test_an_unknown_host_that_talks_is_not_replaced_by_another();
    test_an_unknown_host_that_is_soon_silent_leaves_its_place_to_whoever_comes();
    test_a_reinvite_that_names_the_same_address_opens_nothing();
    test_another_address_in_sdp_begins_anew();
    test_hold_by_no_address_leaves_the_place_taken();
    test_a_reinvite_leaves_reports_to_whoever_was_taken_for_the_far_end();
    test_a_reinvite_that_changes_how_reports_go_is_followed();
    puts("ok");
    return 0;
}
