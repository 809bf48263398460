/* Unit tests of the native core under virtual time: no thread, no socket; what is sent lands in an array.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h.
 */
#include "steps.h"

static void test_g711_codes_survive_decoding_and_encoding(void)
{
    g711_init();
    for (int code = 0; code < 256; code++) {
        CHECK(alaw_encode(alaw_linear[code]) == code);
        int loss = alaw_linear[code] - alaw_linear[ulaw_to_alaw[alaw_to_ulaw[code]]];
        CHECK(loss * 16 <= abs(alaw_linear[code]) + 256 && -loss * 16 <= abs(alaw_linear[code]) + 256);
    }
    CHECK(alaw_encode(40000) == alaw_encode(32767) && alaw_encode(-40000) == alaw_encode(-32768));
}

static void test_loss_and_order_of_the_source_stay_visible_over_every_wrap(void)
{
    start();
    join(open_endpoint(0, PCMA, 101), open_endpoint(1, PCMA, 101));
    for (uint16_t index = 0; index < 1000; index++) {
        worker.now += FRAME_NS;
        if (index % 10 == 3 || index % 10 == 4) /* 4 before 3 */
            give_talk(0, (uint16_t)(index % 10 == 3 ? index + 1 : index - 1));
        else if (index % 10 != 5) /* lost */
            give_talk(0, index);
    }
    CHECK(sent_count == 900);
    for (uint32_t i = 1; i < sent_count; i++) {
        CHECK(read32(sent[i].data + 8) == 101);
        int step = (int16_t)(sent_sequence(i) - sent_sequence(i - 1));
        CHECK(step >= -1 && step <= 3 && step != 0);
        CHECK((int32_t)(sent_timestamp(i) - sent_timestamp(i - 1)) == step * 160);
    }
    finish();
}

static void test_a_straggler_from_before_a_switch_is_dropped(void)
{
    start();
    uint32_t a = open_endpoint(0, PCMA, 101), b = open_endpoint(1, PCMA, 101);
    give_talk(0, 0);
    give_talk(0, 2);
    join(a, b);
    give_talk(0, 3);
    give_talk(0, 1);
    give_talk(0, 4);
    CHECK(sent_count == 2 && (uint16_t)(sent_sequence(1) - sent_sequence(0)) == 1);
    finish();
}

static void test_a_restarted_source_goes_on_in_the_same_line(void)
{
    start();
    join(open_endpoint(0, PCMA, 101), open_endpoint(1, PCMU, -1));
    uint8_t payload[FRAME_SAMPLES] = {0};
    give(0, PCMA, 10, 1000, payload, sizeof payload);
    worker.now += FRAME_NS;
    give(0, PCMA, 30000, 900000, payload, sizeof payload); /* sequence jump */
    worker.now += FRAME_NS;
    give(0, PCMA, 30001, 5, payload, sizeof payload); /* timestamp jump */
    CHECK(sent_count == 3);
    for (uint32_t i = 1; i < 3; i++) {
        CHECK((uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1);
        CHECK(sent_timestamp(i) - sent_timestamp(i - 1) == 160);
        CHECK((sent[i].data[1] & 0x7F) == PCMU);
    }
    finish();
}

/* RFC 4733 2.5.1.3: a press beyond 65535 samples goes on in a segment with a new timestamp. */
static void test_a_long_press_is_one_digit(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    uint8_t event[4] = {5, 10, 0xFF, 0xFF};
    give(0, 101, 1, 1000, event, 4);
    give(0, 101, 2, 1000 + 0xFFFF, event, 4);
    give(0, 101, 3, 1000, event, 4); /* straggler */
    CHECK(count_events(EVENT_DIGIT) == 1);
    give(0, 101, 4, 200000, event, 4);
    give(0, 101, 5, 200800, event, 3); /* cut short */
    event[0] = 16;                     /* a hook flash is no digit */
    give(0, 101, 6, 201600, event, 4);
    CHECK(count_events(EVENT_DIGIT) == 1);
    finish();
}

/* How many of ten packets count that `host`:`port` sends to endpoint 0. */
static uint64_t counted(uint32_t host, uint16_t port)
{
    uint8_t payload[FRAME_SAMPLES] = {0};
    uint64_t before = worker.endpoints[0].receiver.received_all;
    for (uint16_t index = 0; index < 10; index++)
        give_from(host_at(host, port), 0, PCMA, index, 160u * index, payload, sizeof payload);
    return worker.endpoints[0].receiver.received_all - before;
}

static void test_only_the_announced_address_counts(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    for (int round = 0; round < 2; round++, worker.now += SECOND_NS) { /* also when it is quiet */
        CHECK(counted(INADDR_LOOPBACK, 4002) == 0);
        CHECK(counted(INADDR_LOOPBACK + 1, 4000) == 0);
        CHECK(counted(INADDR_LOOPBACK, 4000) == 10);
    }
    CHECK(worker.endpoints[0].drops.strangers == 40);
    finish();
}

static void test_silence_is_told_after_its_time(void)
{
    start();
    open_endpoint(0, PCMA, 101);
    for (int sweeps = 0; sweeps < 30; sweeps++) {
        worker.now += SECOND_NS / 10;
        endpoint_sweep(&worker, &worker.endpoints[0]);
    }
    CHECK(count_events(EVENT_SILENCE) == 1);
    give_talk(0, 1);
    CHECK(count_events(EVENT_SILENCE) == 1);
    finish();
}

/* The silence's time begins anew, so the old silence must not stand. */
static void test_a_new_far_end_ends_the_silence_and_says_so(void)
{
    start();
    struct endpoint *endpoint = &worker.endpoints[0];
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = open_endpoint(0, PCMA, 101)};
    configure.remote = remote_at(phone(0), PCMA, 101);
    worker_obey(&worker, &configure);
    CHECK(count_events(EVENT_SILENCE) == 0);
    worker.now += 2 * SECOND_NS;
    endpoint_sweep(&worker, endpoint);
    CHECK(endpoint->silent && count_events(EVENT_SILENCE) == 1);
    worker_obey(&worker, &configure);
    const struct event *event = ring_peek(&worker.events);
    CHECK(event && event->type == EVENT_SILENCE && !event->silent && !endpoint->silent);
    worker.now += 2 * SECOND_NS;
    endpoint_sweep(&worker, endpoint);
    CHECK(endpoint->silent && count_events(EVENT_SILENCE) == 2);
    finish();
}

/* RFC 3550 6.4: sender reports each 5 s whose blocks the far end can reckon with, and ours with theirs. */
static void test_reports_tell_each_side_what_the_other_received(void)
{
    start();
    join(open_endpoint(0, PCMA, 101), open_endpoint(1, PCMA, 101));
    for (uint16_t index = 0; index < 400; index++, worker.now += FRAME_NS) {
        if (index % 4)
            give_talk(0, index);
        worker_sweep(&worker);
    }
    uint32_t reports = 0;
    for (uint32_t i = 0; i < sent_count; i++) {
        if (!sent[i].rtcp)
            continue;
        reports++;
        CHECK(sent[i].data[1] == (sent[i].slot ? 200 : 201) && sent[i].length == 4u * (read16(sent[i].data + 2) + 1u) + 28);
        CHECK(read32(sent[i].data + 4) == 100 + sent[i].slot);
        if (sent[i].slot)
            continue;
        CHECK((sent[i].data[0] & 31) == 1 && read32(sent[i].data + 8) == 7);
        CHECK(sent[i].data[12] >= 60 && sent[i].data[12] <= 64); /* a quarter was lost */
        union address from = rtcp_of(phone(1));
        write32(sent[i].data + 8, 101); /* as if bert's phone reported the same of us */
        endpoint_receive(&worker, 1, true, sent[i].data, sent[i].length, &from);
    }
    CHECK(reports >= 2 && worker.endpoints[1].remote_lost > 20);
    CHECK(receiver_lost(&worker.endpoints[0].receiver) == 99); /* the first frame was never known */
    finish();
}

static void test_prompts_catch_up_without_a_burst(void)
{
    start();
    static uint8_t samples[160 * 100];
    static const struct piece piece = {samples, sizeof samples};
    struct command play = {.type = COMMAND_PLAY, .handle = 1 << 16};
    play.play.pieces = &piece;
    play.play.piece_count = 1;
    play.play.count = 1;
    play.play.listeners[0] = open_endpoint(0, PCMA, 101);
    worker_obey(&worker, &play);
    playback_tick(&worker);
    worker.now += 90 * 1000000LL; /* a stall */
    uint32_t before = sent_count;
    for (int tick = 0; tick < 5; tick++, worker.now += TICK_NS)
        playback_tick(&worker);
    CHECK(before == 1 && sent_count == 2);
    for (int tick = 0; tick < 1000; tick++, worker.now += TICK_NS)
        playback_tick(&worker);
    CHECK(sent_count == 100);
    CHECK(sent_timestamp(99) - sent_timestamp(0) == 99 * 160);
    CHECK(count_events(EVENT_PLAYED) == 1);
    finish();
}

static void test_a_disk_that_stands_still_truncates_and_delays_nothing(void)
{
    start();
    struct command record = {.type = COMMAND_RECORD, .handle = 1 << 16, .at = worker.now};
    record.record.left = open_endpoint(0, PCMA, 101);
    record.record.right = open_endpoint(1, PCMA, 101);
    record.record.voices = true;
    worker_obey(&worker, &record);
    give_file(record.handle, 77);
    for (uint16_t index = 0; index < 2500; index++, worker.now += FRAME_NS) {
        give_talk(0, index);
        recording_tick(&worker);
    }
    CHECK(count_events(EVENT_TRUNCATED) == 1);
    struct command stop = {.type = COMMAND_CLOSE_RECORDING, .handle = 1 << 16, .at = worker.now};
    worker_obey(&worker, &stop);
    recording_tick(&worker);
    CHECK(worker.recording.count == 1); /* the close waits for room */
    drain_writer();
    worker.now += FRAME_NS;
    recording_tick(&worker);
    CHECK(worker.recording.count == 0);
    drain_writer();
    finish();
}

/* Nobody reads events for a while, as a far end presses keys at 500 a second: what has ended must be told all the same. */
static void test_the_end_of_a_call_is_told_however_many_keys_wait_to_be_read(void)
{
    static const uint8_t sample = ALAW_SILENCE;
    static const struct piece piece = {&sample, 1};
    start();
    uint32_t handle = open_endpoint(0, PCMA, 101);
    struct command play = {.type = COMMAND_PLAY, .handle = 1 << 16};
    play.play.pieces = &piece;
    play.play.piece_count = play.play.count = 1;
    play.play.listeners[0] = handle;
    worker_obey(&worker, &play);
    for (uint32_t key = 0; key < 70000; key++, worker.now += FRAME_NS)
        give(0, 101, (uint16_t)key, 160 * key, (const uint8_t[]){key % 10, 10, 0, 160}, 4);
    CHECK(worker.totals.events_lost > 0);
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = handle});
    uint32_t closed = 0, played = 0;
    for (const struct event *event; (event = ring_peek(&worker.events)); ring_pop(&worker.events)) {
        closed += event->type == EVENT_CLOSED;
        played += event->type == EVENT_PLAYED;
    }
    CHECK(closed == 1 && played == 1);
    finish();
}

static void test_an_endpoint_whose_sockets_can_not_be_read_is_over_at_once_and_says_so(void)
{
    start();
    deaf = true;
    open_endpoint(0, PCMA, 101);
    deaf = false;
    CHECK(worker.open.count == 0 && count_events(EVENT_CLOSED) == 1);
    give_talk(0, 1);
    finish();
}

/* RFC 3550 A.8 and 6.4.1 at the edges of what the numbers hold. */
static void test_no_timestamp_and_no_call_is_too_long_for_the_reports(void)
{
    start();
    uint32_t handle = open_endpoint(0, PCMA, 101);
    uint8_t report[28] = {0x80, 200, 0, 6, 0, 0, 0, 7, 0, 0, 0, 1};
    union address from = rtcp_of(phone(0));
    endpoint_receive(&worker, 0, true, report, sizeof report, &from);
    give(0, PCMA, 1, 160, report, sizeof report);
    give(0, PCMA, 2, 160 + 0x80000000u, report, sizeof report); /* half of all timestamps further */
    CHECK(worker.endpoints[0].receiver.jitter_q4 == 0); /* another clock */
    endpoint_receive(&worker, 0, true, report, sizeof report, &from);
    worker.now += 48 * 3600 * SECOND_NS;
    sent_count = 0;
    rtcp_report(&worker, &worker.endpoints[0]);
    CHECK(sent_count == 1 && read32(sent[0].data + 28) == (uint32_t)(48 * 3600 * 65536LL));
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = handle});
    finish();
}

static void mutate(uint8_t *packet, size_t length)
{
    for (uint32_t changes = chance(4); changes && length; changes--)
        packet[chance((uint32_t)length)] = (uint8_t)chance(256);
}

/* Anything may arrive at any moment: the sanitizers are the judges. */
static void test_random_packets_and_commands_never_reach_out_of_bounds(void)
{
    static uint8_t samples[1001];
    static struct piece both[2][2] = {{{samples, 1}, {samples, 1}}, {{samples, 1}, {samples, 1}}};
    uint32_t plays = 0;
    start();
    join(open_endpoint(0, PCMA, 101), open_endpoint(1, PCMU, 96));
    struct command record = {.type = COMMAND_RECORD, .handle = 1 << 16, .at = worker.now};
    record.record.left = 1 << 16;
    record.record.right = 1 << 16 | 1;
    record.record.voices = record.record.stereo = true;
    worker_obey(&worker, &record);
    give_file(record.handle, 77);
    for (uint32_t round = 0; round < 300000; round++) {
        uint32_t slot = chance(2);
        size_t length = chance(8) ? 12 + chance(200) : chance(1488);
        uint8_t *packet = malloc(length + 1);
        union address from = phone(chance(20) ? slot : 5);
        for (size_t i = 0; i < length; i++)
            packet[i] = (uint8_t)chance(256);
        if (length >= 12)
            rtp_write(packet, false, chance(10) ? PCMA : 101, (uint16_t)(round / 2), round * 80, slot);
        bool rtcp = !chance(10);
        if (rtcp && length >= 12) {
            packet[1] = (uint8_t)(200 + chance(3));
            write16(packet + 2, (uint16_t)chance((uint32_t)length / 4 + 2));
        }
        mutate(packet, length);
        endpoint_receive(&worker, slot, rtcp, packet, length, &from);
        free(packet);
        worker.now += chance(2000000);
        if (!chance(200)) {
            struct command play = {.type = COMMAND_PLAY, .handle = (2 + round) << 16 | (round & 0xFFF)};
            struct piece *pieces = both[plays++ % 2];
            pieces[0].length = 1 + chance(100);
            pieces[1].length = 1 + chance(1000);
            play.play.pieces = pieces;
            play.play.piece_count = 2;
            play.play.once = (uint16_t)chance(2);
            play.play.count = 2;
            play.play.listeners[0] = 1 << 16;
            play.play.listeners[1] = 1 << 16 | 1;
            play.play.mix = chance(2);
            play.play.loop = chance(2);
            worker_obey(&worker, &play);
        }
        telephone_event_tick(&worker);
        playback_tick(&worker);
        recording_tick(&worker);
        worker_sweep(&worker);
        drain_writer();
        count_events(EVENT_CLOSED);
        if (!chance(1000)) { /* the keys of the other side: not at all, as a tone, in longer packets, just so */
            struct command configure = {.type = COMMAND_CONFIGURE, .handle = 1 << 16 | chance(2)};
            configure.remote = remote_at(phone(configure.handle & 1), chance(2) ? PCMA : PCMU, chance(2) ? 101 : -1);
            configure.remote.frame = (uint16_t)(80 * (1 + chance(6)));
            worker_obey(&worker, &configure);
        }
    }
    CHECK(worker.totals.packets_in > 100000 && worker.totals.packets_out > 10000);
    struct command stop = {.type = COMMAND_CLOSE_RECORDING, .handle = 1 << 16, .at = worker.now};
    worker_obey(&worker, &stop);
    worker.now += FRAME_NS;
    recording_tick(&worker);
    finish();
}

static void test_a_worker_that_comes_to_no_tick_is_behind_and_one_that_sleeps_is_not(void)
{
    start();
    atomic_store(&worker.ticked_at, clock_ns() - 5 * SECOND_NS);
    atomic_store(&worker.asleep, false);
    CHECK(worker_lag_ns(&worker) >= 5 * SECOND_NS && worker_lag_ns(&worker) < 60 * SECOND_NS);
    atomic_store(&worker.asleep, true);
    CHECK(worker_lag_ns(&worker) == 0);
    finish();
}

int main(void)
{
    test_g711_codes_survive_decoding_and_encoding();
    test_loss_and_order_of_the_source_stay_visible_over_every_wrap();
    test_a_straggler_from_before_a_switch_is_dropped();
    test_a_restarted_source_goes_on_in_the_same_line();
    test_a_long_press_is_one_digit();
    test_only_the_announced_address_counts();
    test_silence_is_told_after_its_time();
    test_a_new_far_end_ends_the_silence_and_says_so();
    test_reports_tell_each_side_what_the_other_received();
    test_prompts_catch_up_without_a_burst();
    test_a_disk_that_stands_still_truncates_and_delays_nothing();
    test_the_end_of_a_call_is_told_however_many_keys_wait_to_be_read();
    test_an_endpoint_whose_sockets_can_not_be_read_is_over_at_once_and_says_so();
    test_no_timestamp_and_no_call_is_too_long_for_the_reports();
    test_a_worker_that_comes_to_no_tick_is_behind_and_one_that_sleeps_is_not();
    test_random_packets_and_commands_never_reach_out_of_bounds();
    puts("ok");
    return 0;
}
