/* A day of talk in accelerated time, with a recording, keys and mixed prompts on the way: nothing drifts, nothing leaks.
 *
 * Compiled without sanitizers, which would take minutes, and run by tests/media/native/test_day.py.
 */
#include <malloc.h>

#include "steps.h"

#define HOURS 24
#define FRAMES (HOURS * 3600 * 50)
#define PRESS_EVERY 50000   /* frames: each 17 minutes */
#define PROMPT_EVERY 90000  /* each half hour */
#define PROMPT_FRAMES 50

static uint32_t caller, callee;
static uint8_t samples[PROMPT_FRAMES * FRAME_SAMPLES];
static const struct piece piece = {samples, sizeof samples};
static int64_t recorded;

/* As the writer thread does; what is written follows what was. */
static void take_audio(void)
{
    const struct write_request *request;
    while ((request = ring_peek(&worker.writer.requests))) {
        if (request->type == WRITE_AUDIO) {
            CHECK(request->position == recorded);
            recorded += request->length;
        }
        ring_pop(&worker.writer.requests);
    }
}

static void begin(void)
{
    start();
    join(caller = open_endpoint(0, PCMA, 101), callee = open_endpoint(1, PCMA, 96));
    struct command record = {.type = COMMAND_RECORD, .handle = 1 << 16, .at = worker.now};
    record.record.left = caller;
    record.record.right = callee;
    record.record.voices = true;
    worker_obey(&worker, &record);
    give_file(record.handle, 77);
}

static void play_over_the_talk(uint32_t frame)
{
    struct command play = {.type = COMMAND_PLAY, .handle = (1 + frame / PROMPT_EVERY) << 16};
    play.play.pieces = &piece;
    play.play.piece_count = 1;
    play.play.count = 2;
    play.play.mix = true;
    play.play.listeners[0] = caller;
    play.play.listeners[1] = callee;
    worker_obey(&worker, &play);
}

/* What goes out stands in one line behind what went out before, towards each side. */
static void check_sent(void)
{
    static struct { bool known; uint16_t sequence; uint32_t timestamp; } last[2];
    for (uint32_t i = 0; i < sent_count; i++) {
        if (sent[i].rtcp)
            continue;
        uint32_t side = sent[i].slot;
        CHECK(!last[side].known || (uint16_t)(sent_sequence(i) - last[side].sequence) == 1);
        last[side].sequence = sent_sequence(i);
        if ((sent[i].data[1] & 0x7F) == 96)
            continue; /* an event keeps the timestamp of its start (RFC 4733 2.1) */
        CHECK(!last[side].known || sent_timestamp(i) - last[side].timestamp <= 2 * FRAME_SAMPLES);
        last[side].known = true;
        last[side].timestamp = sent_timestamp(i);
    }
    sent_count = 0;
}

static void talk_both_ways(uint32_t frame)
{
    uint8_t voice[FRAME_SAMPLES], event[4] = {5, 10, 0, FRAME_SAMPLES};
    uint32_t timestamp = 0xFFF00000u + frame * FRAME_SAMPLES;
    memset(voice, (int)frame, sizeof voice);
    if (frame % PRESS_EVERY == PRESS_EVERY / 2) {
        event[1] |= 0x80;
        give(0, 101, (uint16_t)frame, timestamp, event, sizeof event);
    } else {
        give(0, PCMA, (uint16_t)frame, timestamp, voice, sizeof voice);
    }
    give(1, PCMA, (uint16_t)(frame + 777), timestamp, voice, sizeof voice);
}

static void tick(int64_t at)
{
    worker.now = at;
    telephone_event_tick(&worker);
    playback_tick(&worker);
    recording_tick(&worker);
    worker_sweep(&worker);
}

int main(void)
{
    uint32_t digits = 0, played = 0;
    begin();
    int64_t started_at = worker.now;
    size_t held = 0;
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        int64_t now = started_at + frame * FRAME_NS;
        if (frame == FRAMES / HOURS)
            held = mallinfo2().uordblks; /* of the first hour */
        tick(now);
        talk_both_ways(frame);
        if (frame % PROMPT_EVERY == PROMPT_EVERY / 2)
            play_over_the_talk(frame);
        for (int64_t later = TICK_NS; later < FRAME_NS; later += 3 * TICK_NS)
            tick(now + later);
        check_sent();
        take_audio();
        const struct event *event;
        while ((event = ring_peek(&worker.events))) {
            digits += event->type == EVENT_DIGIT;
            played += event->type == EVENT_PLAYED;
            ring_pop(&worker.events);
        }
    }
    CHECK(mallinfo2().uordblks == held);
    CHECK(digits == FRAMES / PRESS_EVERY && played == FRAMES / PROMPT_EVERY);
    CHECK(worker.playing.count == 0 && worker.keys.count == 0 && worker.open.count == 2);
    const struct endpoint *anna = &worker.endpoints[0], *bert = &worker.endpoints[1];
    CHECK(receiver_lost(&anna->receiver) == 0 && receiver_lost(&bert->receiver) == 0);
    CHECK(anna->receiver.received_all == FRAMES && !anna->drops.strangers && !anna->drops.excess);
    /* A day later the line is a day on, to the sample, but for the frame of the mixed prompt that begins a tick early. */
    int64_t expected = (int64_t)(FRAMES - 1) * FRAME_SAMPLES, was = (uint32_t)(bert->line.timestamp - 0xFFFFFF00u);
    CHECK(was - (uint32_t)expected <= 2 * FRAME_SAMPLES || (uint32_t)expected - was <= 2 * FRAME_SAMPLES);
    struct command stop = {.type = COMMAND_CLOSE_RECORDING, .handle = 1 << 16};
    stop.at = started_at + FRAMES * FRAME_NS;
    worker_obey(&worker, &stop);
    worker.now = stop.at + FRAME_NS;
    recording_tick(&worker);
    take_audio();
    CHECK(recorded == (int64_t)FRAMES * FRAME_SAMPLES);
    finish();
    puts("ok");
    return 0;
}
