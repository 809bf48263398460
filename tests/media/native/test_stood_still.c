/* A worker that stood still (a stopped machine, SIGSTOP) finds seconds of audio in its sockets: a live stream is not put
 * behind by it (RFC 3550 2.1: what comes too late is lost), a recording has it at its place.
 */
#include "steps.h"

#define TALK 50 /* packets before */
#define MOST (TALK + 300)
#define LATE_MS 200
#define LONG_MS 1000

static uint32_t a, b;

static uint8_t code_of(uint32_t index)
{
    return (uint8_t)(1 + index % 100);
}

static void say(uint32_t slot, uint32_t index)
{
    uint8_t payload[FRAME_SAMPLES];
    memset(payload, code_of(index), sizeof payload);
    give(slot, PCMA, (uint16_t)(65500 + index), 0xFFFFF000u + index * FRAME_SAMPLES, payload, sizeof payload);
}

/* Both talk; what is said while the worker stands still comes in turns of `at_once` packets. Packets said in all. */
static uint32_t talk_across(int64_t stall_ms, uint32_t at_once)
{
    uint32_t said = 0, waiting = TALK + (uint32_t)(stall_ms / 20);
    for (; said < TALK; said++) {
        worker_set_clock(&worker, worker.now + FRAME_NS);
        say(0, said);
        say(1, said);
        recording_tick(&worker);
    }
    worker_set_clock(&worker, worker.now + stall_ms * 1000000);
    for (uint32_t from = said; said < waiting; from = said) {
        uint32_t until = from + at_once < waiting ? from + at_once : waiting;
        for (uint32_t slot = 0; slot < 2; slot++)
            for (said = from; said < until; said++)
                say(slot, said);
        recording_tick(&worker);
    }
    for (int64_t began = worker.now; said < waiting + TALK; said++) {
        worker_set_clock(&worker, began + (said - waiting + 1) * FRAME_NS);
        say(0, said);
        say(1, said);
        recording_tick(&worker);
    }
    return said;
}

static void check_relayed(int64_t stall_ms)
{
    start();
    a = open_endpoint(0, PCMA, 101);
    b = open_endpoint(1, PCMA, 101);
    join(a, b);
    uint32_t said = talk_across(stall_ms, 16), waited = (uint32_t)(stall_ms / 20), heard = 0;
    uint32_t late = stall_ms >= LONG_MS ? waited - LATE_MS / 20 - 1 : 0;
    CHECK(worker.totals.packets_late == 2 * late);
    for (uint32_t i = 0, index = 0; i < sent_count; i++) {
        if (sent[i].slot != 1)
            continue;
        index = heard++ < TALK ? heard - 1 : heard - 1 + late;
        CHECK(sent[i].data[RTP_HEADER] == code_of(index));
        CHECK((uint16_t)(sent_sequence(i) - sent_sequence(0)) == index); /* the far end can tell what it has not got */
        CHECK(sent_timestamp(i) - sent_timestamp(0) == index * FRAME_SAMPLES);
        CHECK(!(sent[i].data[1] & 0x80) || !index);
    }
    CHECK(heard == said - late);
    finish();
}

static void test_what_is_late_by_more_than_200_ms_is_not_relayed_behind_a_stall_of_a_second(void)
{
    check_relayed(LONG_MS - 20);
    check_relayed(LONG_MS);
    for (int64_t stall_ms = 20; stall_ms <= 5000; stall_ms += stall_ms < 400 ? 20 : 500)
        check_relayed(stall_ms);
}

/* The network's own delay is not ours to judge. */
static void test_what_comes_late_to_a_worker_that_goes_on_is_relayed(void)
{
    start();
    a = open_endpoint(0, PCMA, 101);
    b = open_endpoint(1, PCMA, 101);
    join(a, b);
    uint32_t said = talk_across(5000, 16), before = sent_count;
    uint64_t late = worker.totals.packets_late;
    for (int64_t ms = 0; ms < 1000; ms += 2)
        worker_set_clock(&worker, worker.now + TICK_NS);
    for (uint32_t i = 0; i < 50; i++)
        say(0, said + i);
    CHECK(sent_count == before + 50 && worker.totals.packets_late == late);
    finish();
}

/* Whoever begins anew while we stand still is not measured by what was before. */
static void test_a_stream_that_begins_meanwhile_is_relayed_from_its_first_packet_on(void)
{
    start();
    a = open_endpoint(0, PCMA, 101);
    b = open_endpoint(1, PCMA, 101);
    join(a, b);
    for (uint32_t i = 0; i < TALK; i++) {
        worker_set_clock(&worker, worker.now + FRAME_NS);
        say(0, i);
    }
    worker_set_clock(&worker, worker.now + SECOND_NS);
    uint32_t before = sent_count;
    uint8_t payload[FRAME_SAMPLES] = {0};
    for (uint32_t i = 0; i < 20; i++)
        give(0, PCMA, (uint16_t)i, 77 + i * FRAME_SAMPLES, payload, sizeof payload);
    CHECK(sent_count == before + 20 && !worker.totals.packets_late);
    finish();
}

/* A tick that is itself long (much to decode behind a stall) reads what came while it went on: that is as old as it says. */
static void test_what_was_read_in_a_tick_that_took_long_puts_nothing_behind(void)
{
    start();
    a = open_endpoint(0, PCMA, 101);
    b = open_endpoint(1, PCMA, 101);
    join(a, b);
    uint32_t said = 0, least = (uint32_t)(3 * SECOND_NS / 10 / FRAME_NS);
    for (; said < TALK; said++) {
        worker_set_clock(&worker, worker.now + FRAME_NS);
        say(0, said);
    }
    for (uint32_t until = said + least; said < until; said++)
        say(0, said);
    worker.received_at = worker.now + least * FRAME_NS;
    worker_set_clock(&worker, worker.received_at);
    for (uint32_t until = said + TALK; said < until; said++) {
        worker_set_clock(&worker, worker.now + FRAME_NS);
        say(0, said);
    }
    CHECK(sent_count == said && !worker.totals.packets_late);
    worker_set_clock(&worker, worker.now + SECOND_NS); /* the next one is a stall as any */
    for (uint32_t until = said + TALK; said < until; said++)
        say(0, said);
    CHECK(worker.totals.packets_late == TALK - LATE_MS / 20 - 1);
    finish();
}

/* A long tick while it reads is no new stall: what came in the first is as late as before. */
static void test_long_ticks_behind_a_stall_let_nothing_late_through(void)
{
    start();
    a = open_endpoint(0, PCMA, 101);
    b = open_endpoint(1, PCMA, 101);
    join(a, b);
    uint32_t said = 0;
    for (; said < TALK; said++) {
        worker_set_clock(&worker, worker.now + FRAME_NS);
        say(0, said);
    }
    worker_set_clock(&worker, worker.now + 5 * SECOND_NS);
    for (uint32_t tick = 0; tick < 10; tick++) {
        for (uint32_t until = said + 16; said < until; said++)
            say(0, said);
        worker.received_at = worker.now + SECOND_NS / 4;
        worker_set_clock(&worker, worker.received_at);
    }
    CHECK(sent_count == TALK && worker.totals.packets_late == 160);
    finish();
}

static uint8_t audio[2 * FRAME_SAMPLES * MOST];

static void record(void)
{
    struct command record = {.type = COMMAND_RECORD, .handle = 1 << 16, .at = worker.now};
    record.record.left = a = open_endpoint(0, PCMA, 101);
    record.record.right = b = open_endpoint(1, PCMA, 101);
    record.record.voices = record.record.stereo = true;
    worker_obey(&worker, &record);
    give_file(record.handle, 77);
}

/* What is in the file is in `audio` then. */
static void stop_recording(void)
{
    struct command stop = {.type = COMMAND_CLOSE_RECORDING, .handle = 1 << 16, .at = worker.now};
    worker_obey(&worker, &stop);
    worker.now += FRAME_NS;
    recording_tick(&worker);
    memset(audio, 0, sizeof audio);
    const struct write_request *request;
    for (; (request = ring_peek(&worker.writer.requests)); ring_pop(&worker.writer.requests))
        if (request->type == WRITE_AUDIO)
            memcpy(audio + request->position, request->audio, request->length);
}

static void check_recorded(int64_t stall_ms, uint32_t at_once)
{
    start();
    record();
    join(a, b);
    uint32_t said = talk_across(stall_ms, at_once);
    stop_recording();
    for (uint32_t index = 1; index + 2 < said; index++) /* each begins where it came, 20 ms from the start on */
        for (int side = 0; side < 2; side++)
            CHECK(audio[2 * ((index + 1) * FRAME_SAMPLES + 80) + (uint32_t)side] == code_of(index));
    CHECK(!worker.totals.packets_late || stall_ms > LATE_MS);
    finish();
}

static void test_a_recording_has_at_its_place_what_came_during_a_stall(void)
{
    for (int64_t stall_ms = 20; stall_ms <= 5000; stall_ms += stall_ms < 1200 ? 20 : 500) {
        check_recorded(stall_ms, 1);
        check_recorded(stall_ms, 16);
    }
}

/* Where nobody talks there is nothing to wait for. */
static void test_a_recording_has_all_of_a_prompt_that_is_played_behind_a_stall(void)
{
    static uint8_t samples[16000];
    static const struct piece piece = {samples, sizeof samples};
    memset(samples, 0x2A, sizeof samples);
    for (int64_t stall_ms = 300; stall_ms <= 5000; stall_ms += 100) {
        start();
        record();
        struct command play = {.type = COMMAND_PLAY, .handle = 1 << 16, .play = {&piece, 1, 0, {a, b}, 2, true, false}};
        worker_obey(&worker, &play);
        for (int tick = 0; tick < 1000; tick++) {
            worker_set_clock(&worker, worker.now + (tick == 500 ? stall_ms * 1000000 : TICK_NS));
            playback_tick(&worker);
            recording_tick(&worker);
        }
        stop_recording();
        uint32_t heard = 0;
        for (uint32_t i = 0; i < sizeof audio; i++)
            heard += audio[i] == 0x2A;
        CHECK(heard >= 2 * 8 * (2000 - 3 * 20)); /* it went on for 2 s, but for a frame at the stall and at either end */
        finish();
    }
}

static void test_a_worker_that_slept_for_want_of_work_has_not_stood_still(void)
{
    start();
    worker.now = 0;
    worker_sleep(&worker);
    worker_tick(&worker);
    CHECK(!worker.caught_up_at && waited_until == -1);
    finish();
}

int main(void)
{
    test_what_is_late_by_more_than_200_ms_is_not_relayed_behind_a_stall_of_a_second();
    test_what_comes_late_to_a_worker_that_goes_on_is_relayed();
    test_a_stream_that_begins_meanwhile_is_relayed_from_its_first_packet_on();
    test_what_was_read_in_a_tick_that_took_long_puts_nothing_behind();
    test_long_ticks_behind_a_stall_let_nothing_late_through();
    test_a_recording_has_at_its_place_what_came_during_a_stall();
    test_a_recording_has_all_of_a_prompt_that_is_played_behind_a_stall();
    test_a_worker_that_slept_for_want_of_work_has_not_stood_still();
    puts("ok");
    return 0;
}
