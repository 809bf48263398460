/* Which streams are the kernel's, since when, and what makes them the worker's again.
 *
 * The program is that of media/native/bpf, compiled for the host (kernel_program.c).
 */
#include "steps.h"
#include "kernel_calls.h"

static struct endpoint *at(uint32_t slot)
{
    return &worker.endpoints[slot];
}

/* Anna's stream is the kernel's. */
static void call_in_kernel(void)
{
    call_of(160, true);
    talk(0, STEADY + 5);
    CHECK(active(0) && by_kernel == 5);
}

/* When it is put in */

static void test_the_tenth_ordinary_packet_is_the_last_by_the_socket(void)
{
    call_of(160, true);
    talk(0, STEADY - 1);
    CHECK(!active(0));
    talk(0, 1);
    CHECK(active(0) && !active(1) && !by_kernel);
    const struct kernel_flow *flow = &relay.flows[0];
    CHECK(flow->state == KERNEL_RELAY_ACTIVE && relay.ports[ports_of[0]] == 1 && !flow->interface && flow->by == LOOPBACK);
    CHECK(flow->from == phone(0).v4.sin_addr.s_addr && flow->from_port == phone(0).v4.sin_port);
    CHECK(flow->at_port == ports_of[0] && flow->source_port == ports_of[1] && flow->to_port == phone(1).v4.sin_port);
    int priority = 0; /* that the system gives to such a mark */
    CHECK(!getsockopt(fds[1], SOL_SOCKET, SO_PRIORITY, &priority, &(socklen_t){sizeof priority}) && priority);
    CHECK(flow->type_of_service == MARK && flow->priority == (uint32_t)priority);
    talk(0, 1);
    CHECK(by_kernel == 1);
    talk(1, STEADY + 1);
    CHECK(active(1) && by_kernel == 2);
    call_over();
}

static struct remote changed;

static void recorded(void)
{
    struct command record = {.type = COMMAND_RECORD, .handle = 1u << 16};
    record.record.left = HANDLE(0);
    record.record.right = HANDLE(1);
    worker_obey(&worker, &record);
}

static void play_to(uint32_t slot)
{
    static const uint8_t samples[8000];
    static const struct piece piece = {samples, sizeof samples};
    struct command play = {.type = COMMAND_PLAY, .handle = 1u << 16};
    play.play.pieces = &piece;
    play.play.piece_count = play.play.count = 1;
    play.play.listeners[0] = HANDLE(slot);
    worker_obey(&worker, &play);
}

static void recorded_in_short_packets(void)
{
    changed.frame = talkers[0].samples = 80;
    agree(1, &changed);
    recorded();
}

static void recorded_without_a_ring(void)
{
    worker.kernel.ring = 0;
    recorded();
}

static void prompted(void)
{
    play_to(1);
}

static void on_hold(void)
{
    changed.sending = false;
    agree(1, &changed);
}

static void not_received(void)
{
    changed.receiving = false;
    agree(0, &changed);
}

static void no_events(void)
{
    changed.event_in = -1;
    agree(0, &changed);
}

static void shorter_frames(void)
{
    changed.frame = 80;
    agree(1, &changed);
}

static void the_other_law(void)
{
    changed.payload_type = changed.payload_type_in = PCMU;
    agree(1, &changed);
}

static void no_way(void)
{
    changed.announced.rtp = host_at(0xE0000001u, 4000); /* 224.0.0.1 */
    agree(1, &changed);
}

static void by_ipv6(void)
{
    union address there = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(4000), .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
    changed.announced.rtp = there;
    agree(1, &changed);
}

/* Another socket of the same number, of another address. */
static void port_in_use(void)
{
    relay.ports[ports_of[0]] = 9;
}

static void no_port(void)
{
    at(1)->kernel.port = 0;
}

static void pressing(void)
{
    at(1)->key_out.active = true;
}

static void soon_silent(void)
{
    worker.silence_ns = SECOND_NS / 4;
}

static void secured(void)
{
#ifdef HAVE_SRTP
    static const uint8_t key[30] = {1};
    changed.srtp_out = srtp_context_create("AES_CM_128_HMAC_SHA1_80", key, sizeof key, true);
    CHECK(changed.srtp_out);
#else
    no_port();
#endif
    agree(1, &changed);
}

static void coded(void)
{
    if (codec_name(0)) {
        changed.codec = codec_named(codec_name(0));
        changed.payload_type = 111;
        changed.payload_type_in = 96;
    } else {
        changed.frame = 80;
    }
    agree(1, &changed);
}

static void all_marked(void)
{
    for (uint32_t i = 0; i < 3 * STEADY; i++) {
        talkers[0].marker = true;
        talk(0, 1);
    }
}

static void parted(void)
{
    obey(COMMAND_DISCONNECT, HANDLE(0));
}

static void test_what_is_not_ordinary_stays_the_workers(void)
{
    static void (*const circumstances[])(void) = {recorded_in_short_packets, recorded_without_a_ring, prompted, on_hold, not_received, no_events, shorter_frames,
                                                  the_other_law, no_way, by_ipv6, port_in_use, no_port, pressing,
                                                  soon_silent, secured, coded, all_marked, parted};
    for (size_t i = 0; i < sizeof circumstances / sizeof *circumstances; i++) {
        call_of(160, true);
        changed = plain(circumstances[i] != not_received && circumstances[i] != no_events, 160);
        circumstances[i]();
        if (circumstances[i] != all_marked)
            talk(0, 3 * STEADY);
        CHECK(!active(0) && !by_kernel);
        CHECK(worker.totals.packets_in == 3 * STEADY);
        relay.ports[ports_of[0]] = 0;
        at(1)->key_out.active = false;
        call_over();
    }
}

/* What makes it the worker's */

static void configured(void)
{
    changed = plain(0, 160);
    agree(0, &changed);
}

static void peer_configured(void)
{
    changed = plain(1, 160);
    agree(1, &changed);
}

static void closed(void)
{
    obey(COMMAND_CLOSE, HANDLE(0));
}

static void peer_closed(void)
{
    obey(COMMAND_CLOSE, HANDLE(1));
}

static void joined_to_another(void)
{
    changed = plain(2, 160);
    open_at(2, &changed);
    join(HANDLE(1), HANDLE(2));
}

static void prompted_itself(void)
{
    play_to(0);
}

static void by_a_way_that_is_not_the_programs(void)
{
    by_socket_only(0);
}

static void our_ssrc(void)
{
    talkers[0].ssrc = at(0)->line.ssrc;
    talk(0, 1);
    CHECK(at(0)->line.ssrc != talkers[0].ssrc);
}

static void a_marker(void)
{
    talkers[0].marker = true;
    talk(0, 1);
}

static void ways_changed(void)
{
    int pair[2];
    CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) && write(pair[1], "", 1) == 1);
    int before = worker.kernel.changes_fd;
    worker.kernel.changes_fd = pair[0];
    kernel_relay_sweep(&worker);
    worker.kernel.changes_fd = before;
    close(pair[0]);
    close(pair[1]);
}

static void test_every_change_makes_it_the_workers(void)
{
    static void (*const changes[])(void) = {configured, peer_configured, closed, peer_closed, joined_to_another, parted,
                                            prompted, prompted_itself, recorded, by_a_way_that_is_not_the_programs,
                                            our_ssrc, a_marker, ways_changed};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        call_in_kernel();
        changes[i]();
        CHECK(!active(0) && !relay.ports[ports_of[0]] && !relay.flows[0].state);
        CHECK(worker.totals.packets_kernel == 5);
        call_over();
    }
}

static void test_where_nothing_has_changed_it_stays(void)
{
    call_in_kernel();
    kernel_relay_sweep(&worker);
    uint8_t report[8] = {0x80, 201, 0, 1};
    union address from = rtcp_of(phone(0));
    endpoint_receive(&worker, 0, true, report, sizeof report, &from);
    packet_of(0, phone(3), PCMA, talkers[0].sequence, talkers[0].timestamp, 160); /* a stranger */
    CHECK(active(0) && at(0)->drops.strangers == 1);
    talk(0, 1);
    CHECK(by_kernel == 6);
    call_over();
}

/* A full ring of copies leaves the packet to the socket, before anything has changed. */
static void test_what_is_recorded_is_copied_or_not_taken(void)
{
    call_of(160, true);
    recorded();
    talk(0, STEADY + 3);
    CHECK(active(0) && by_kernel == 3);
    const struct timeline *line = &worker.recordings[0].timelines[0];
    int64_t until = line->until;
    kernel_relay_take_back(&worker, at(0)); /* the copies come before whatever comes now */
    CHECK(line->until == until + 3 * 160);
    talk(0, STEADY);
    CHECK(active(0));
    program_ring_room = 2;
    talk(0, 4);
    CHECK(by_kernel == 3 + 2 && !active(0));
    program_ring_room = 4096;
    talk(0, STEADY);
    kernel_relay_look(&worker, at(0));
    CHECK(active(0) && at(0)->receiver.received == 3 * STEADY + 7);
    obey(COMMAND_CLOSE_RECORDING, 1u << 16);
    CHECK(!active(0) && at(0)->recording == NONE);
    call_over();
}

/* Behind NAT another source comes to count. */
static void test_who_moves_is_the_workers_again(void)
{
    call_of(160, true);
    changed = plain(0, 160);
    changed.announced.nat = true;
    agree(0, &changed);
    packet_of(0, host_at(INADDR_LOOPBACK, 5000), PCMA, 100, 0, 160);
    talk(0, STEADY + 5);
    CHECK(active(0) && by_kernel == 5);
    worker.now += SECOND_NS;
    for (uint16_t i = 0; i < 4; i++)
        packet_of(0, host_at(INADDR_LOOPBACK, 5000), PCMA, i, 160u * i, 160);
    CHECK(!active(0) && address_port(&at(0)->latch.from) == 5000);
    call_over();
}

/* What the program leaves */

static uint8_t *wire_at(void)
{
    static uint8_t wire[MAX_PACKET + 2] __attribute__((aligned(16)));
    return wire + 2;
}

/* Anna's next packet as a frame, for the program alone. */
static void next_frame(void)
{
    uint8_t packet[RTP_HEADER + 160] = {0};
    union address from = phone(0), to = local(ports_of[0]);
    rtp_write(packet, false, PCMA, talkers[0].sequence, talkers[0].timestamp, talkers[0].ssrc);
    frame = (struct frame){.data = wire_at(), .interface = LOOPBACK, .now = worker.now};
    frame.length = (unsigned)frame_write(frame.data, &from, &to, packet, sizeof packet, true);
}

static void resum(void)
{
    write16(wire_at() + 24, 0);
    write16(wire_at() + 24, (uint16_t)~sum_of(wire_at() + 14, 20, 0));
}

/* Is it still the kernel's, where the program has left one of its packets? */
static void leaves(bool still)
{
    CHECK(program_run(&frame) == PROGRAM_NEXT);
    CHECK(relay.flows[0].state == (still ? KERNEL_RELAY_ACTIVE : 0));
    relay.flows[0].state = KERNEL_RELAY_ACTIVE;
}

static void test_frames_of_other_kinds_are_the_sockets(void)
{
    call_in_kernel();
    next_frame(), frame.tagged = 1, leaves(true);
    next_frame(), frame.elsewhere = 1, leaves(true);                /* another machine's, which this one happens to see */
    next_frame(), frame.interface = 5, leaves(true);                /* by an interface that the far end is not behind */
    next_frame(), frame.data[22] ^= 1, leaves(true);                /* a broken header */
    next_frame(), frame.length++, leaves(false);                    /* more than IP tells of */
    next_frame(), frame.data[14] = 0x46, leaves(true);              /* IP options */
    next_frame(), frame.data[23] = 6, leaves(true);                 /* TCP */
    next_frame(), frame.data[20] = 0x20, leaves(true);              /* more fragments */
    next_frame(), frame.data[21] = 1, leaves(true);                 /* behind one */
    next_frame(), frame.data[43] = 200, leaves(true);               /* RTCP */
    next_frame(), frame.length = 50, frame.scattered = 1, leaves(true);
    next_frame(), write16(frame.data + 16, 201), resum(), leaves(false);
    next_frame(), write16(frame.data + 38, 181), leaves(false);     /* RFC 768's length */
    next_frame(), frame.data[42] = 0x90, leaves(false);             /* an extension */
    next_frame(), frame.scattered = 1;
    relay.flows[0].priority = 6;
    CHECK(program_run(&frame) == PROGRAM_PASS && frame.priority == 6);
    call_over();
}

/* How it comes and goes */

static void test_who_is_never_passed_on_is_tried_more_and_more_seldom(void)
{
    uint32_t tries = 0;
    call_of(160, true);
    frame.interface = 5; /* where the program takes nothing of it */
    for (uint32_t i = 0; i < 60000; i++) {
        bool before = active(0);
        talk(0, 1);
        worker_sweep(&worker);
        tries += !before && active(0);
    }
    CHECK(tries == 7 && !by_kernel && at(0)->kernel.patience == STEADY << 14);
    frame.interface = LOOPBACK;
    while (!active(0)) {
        talk(0, 1);
        worker_sweep(&worker);
    }
    talk(0, 1);
    configured();
    CHECK(by_kernel == 1 && at(0)->kernel.patience == STEADY);
    call_over();
}

static void test_numbers_go_round(void)
{
    call_of(160, true);
    talkers[0].sequence = 65530 - STEADY;
    talkers[0].timestamp = 0u - 160 * (STEADY + 2);
    uint32_t first = talkers[0].timestamp;
    talk(0, STEADY + 2 * 65536);
    kernel_relay_look(&worker, at(0));
    const struct receiver *receiver = &at(0)->receiver;
    CHECK(by_kernel == 2 * 65536 && receiver->received == STEADY + 2 * 65536 && receiver_lost(receiver) == 0);
    CHECK(receiver->highest - receiver->base + 1 == receiver->received);
    CHECK(at(1)->line.in_timestamp == first + 160 * (STEADY + 2 * 65536 - 1));
    CHECK(at(1)->line.packets == receiver->received && at(1)->line.octets == 160ull * receiver->received);
    for (uint32_t i = sent_count - 65000; i < sent_count; i++)
        CHECK((uint16_t)(read16(sent[i % SENT].data + 2) - read16(sent[(i - 1) % SENT].data + 2)) == 1);
    call_over();
}

/* A number that is higher than half of all goes on by the socket: RTCP's would go round in the kernel. */
static void test_a_stream_of_many_years_stays_the_workers(void)
{
    call_of(160, true);
    talk(0, 1);
    at(0)->receiver.highest += 0x7FFF0000u;
    talk(0, 3 * STEADY);
    CHECK(!active(0));
    call_over();
}

int main(void)
{
    srtp_set_up();
    test_the_tenth_ordinary_packet_is_the_last_by_the_socket();
    test_what_is_not_ordinary_stays_the_workers();
    test_every_change_makes_it_the_workers();
    test_where_nothing_has_changed_it_stays();
    test_what_is_recorded_is_copied_or_not_taken();
    test_who_moves_is_the_workers_again();
    test_frames_of_other_kinds_are_the_sockets();
    test_who_is_never_passed_on_is_tried_more_and_more_seldom();
    test_numbers_go_round();
    test_a_stream_of_many_years_stays_the_workers();
    puts("ok");
    return 0;
}
