/* Prompts under virtual time: when they begin, how exactly they go on, what of a list is heard, how talk ducks. */
#include "steps.h"

static uint8_t samples[8][1000];
static struct piece pieces[8];
static uint32_t a, b;

static void pair(bool joined)
{
    start();
    a = open_endpoint(0, PCMA, 101);
    b = open_endpoint(1, PCMA, 101);
    if (joined)
        join(a, b);
}

static void play(uint16_t piece_count, uint16_t once, bool loop, bool mix)
{
    struct command play = {.type = COMMAND_PLAY, .handle = 1 << 16};
    play.play.pieces = pieces;
    play.play.piece_count = piece_count;
    play.play.once = once;
    play.play.loop = loop;
    play.play.mix = mix;
    play.play.count = 2;
    play.play.listeners[0] = a;
    play.play.listeners[1] = b;
    worker_obey(&worker, &play);
}

static void random_pieces(uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        pieces[i] = (struct piece){samples[i], 1 + chance(sizeof samples[i])};
        for (size_t n = 0; n < pieces[i].length; n++)
            samples[i][n] = (uint8_t)chance(256);
    }
}

static void tick(void)
{
    playback_tick(&worker);
    worker.now += TICK_NS;
}

/* As ticks come on a machine that does other things, too. */
static void uneven_tick(void)
{
    playback_tick(&worker);
    worker.now += TICK_NS + chance(TICK_NS);
}

static void test_a_prompt_begins_for_all_in_the_tick_that_it_was_asked_for(void)
{
    pair(false);
    random_pieces(1);
    play(1, 0, false, false);
    tick();
    CHECK(sent_count == 2 && sent[0].slot != sent[1].slot);
    finish();
}

/* Ten minutes: not a tick late or early in all, whatever the phase of the ticks. */
static void test_frames_go_out_every_20_ms_and_do_not_drift(void)
{
    pair(false);
    random_pieces(1);
    worker.now += 1234567;
    int64_t started_at = worker.now;
    play(1, 0, true, false);
    for (uint32_t frame = 0; frame < 30000; frame++) {
        int64_t at = worker.now;
        for (; sent_count == 0; uneven_tick())
            at = worker.now;
        int64_t late = at - (started_at + frame * FRAME_NS);
        CHECK(sent_count == 2 && late >= 0 && late < 2 * TICK_NS);
        sent_count = 0;
    }
    finish();
}

/* Who hears it is delayed by ticks, the recording is not. */
static void test_a_prompt_is_in_the_recording_sample_by_sample_however_ticks_come(void)
{
    static uint8_t prompt[30 * FRAME_SAMPLES];
    pair(false);
    struct command record = {.type = COMMAND_RECORD, .handle = 1 << 16, .at = worker.now};
    record.record.left = a;
    record.record.right = b;
    worker_obey(&worker, &record);
    for (size_t n = 0; n < sizeof prompt; n++)
        prompt[n] = (uint8_t)n;
    pieces[0] = (struct piece){prompt, sizeof prompt};
    worker.now += 1234567;
    play(1, 0, false, false);
    while (worker.playing.count)
        uneven_tick();
    const uint8_t *heard = worker.recordings[0].layers[PROMPT_LEFT] + 1234567 / SAMPLE_NS;
    CHECK(!memcmp(heard, prompt, sizeof prompt) && heard[sizeof prompt] == ALAW_SILENCE);
    CHECK(worker.recordings[0].layer_until[PROMPT_RIGHT] == 0); /* a mono mix has it once */
    finish();
    drain_writer();
}

/* What nobody could send for long is not sent in a hurry: the prompt goes on where it was, at its pace. */
static void test_after_a_long_stall_the_grid_begins_anew(void)
{
    static uint8_t prompt[50 * FRAME_SAMPLES];
    pair(false);
    pieces[0] = (struct piece){prompt, sizeof prompt};
    play(1, 0, false, false);
    tick();
    worker.now += SECOND_NS;
    sent_count = 0;
    for (int64_t until = worker.now + 5 * FRAME_NS; worker.now < until;)
        tick();
    CHECK(sent_count == 2 * 5);
    finish();
}

static void test_a_list_of_any_lengths_is_heard_without_a_seam_and_its_end_again_and_again(void)
{
    for (int round = 0; round < 50; round++) {
        uint16_t count = (uint16_t)(1 + chance(8)), once = (uint16_t)chance(count);
        pair(false);
        random_pieces(count);
        play(count, once, true, false);
        while (sent_count < 200)
            tick();
        uint16_t piece = 0;
        size_t position = 0;
        for (uint32_t n = 0; n < 100 * FRAME_SAMPLES; n++) {
            uint32_t packet = 2 * (n / FRAME_SAMPLES);
            CHECK(sent[packet].data[RTP_HEADER + n % FRAME_SAMPLES] == samples[piece][position]);
            if (++position == pieces[piece].length) {
                position = 0;
                piece = (uint16_t)(piece + 1 == count ? once : piece + 1);
            }
        }
        finish();
    }
}

static void test_what_does_not_loop_ends_in_silence_and_is_told_complete(void)
{
    pair(false);
    pieces[0] = (struct piece){samples[0], 170};
    memset(samples[0], 0x2A, sizeof samples[0]);
    play(1, 0, false, false);
    for (int i = 0; i < 40; i++)
        tick();
    CHECK(sent_count == 4 && sent[2].data[RTP_HEADER + 9] == 0x2A && sent[2].data[RTP_HEADER + 10] == ALAW_SILENCE);
    const struct event *event = ring_peek(&worker.events);
    CHECK(event && event->type == EVENT_PLAYED && event->played.reports[0].completed && event->played.reports[1].frames == 2);
    finish();
}

/* Talk at a steady level below a silent prompt: 0 dB, down within a frame to -12 dB, up within the last. */
static void test_talk_ducks_by_12_db_and_comes_back_without_a_step(void)
{
    static uint8_t quiet[10 * FRAME_SAMPLES];
    pair(true);
    memset(quiet, ALAW_SILENCE, sizeof quiet);
    pieces[0] = (struct piece){quiet, sizeof quiet};
    uint8_t loud = alaw_encode(16000);
    uint8_t voice[FRAME_SAMPLES];
    memset(voice, loud, sizeof voice);
    for (uint16_t index = 0; index < 20; index++) {
        if (index == 3)
            play(1, 0, false, true);
        give(0, PCMA, index, index * FRAME_SAMPLES, voice, sizeof voice);
        for (int i = 0; i < 10; i++)
            tick();
    }
    int level[FRAME_SAMPLES * 24], count = 0;
    for (uint32_t i = 0; i < sent_count; i++)
        for (uint32_t n = 0; sent[i].slot == 1 && n < FRAME_SAMPLES; n++)
            level[count++] = alaw_linear[sent[i].data[RTP_HEADER + n]];
    int least = level[0];
    for (int n = 1; n < count; n++) {
        CHECK(abs(level[n] - level[n - 1]) <= 1100); /* a step of A-law at that level is 1024 */
        least = level[n] < least ? level[n] : least;
    }
    CHECK(level[0] == alaw_linear[loud] && level[count - 1] == level[0]);
    CHECK(least >= level[0] / 4 - 200 && least <= level[0] / 4 + 200);
    finish();
}

/* A quiet prompt over loud talk in packets of `length` samples, from any moment on, for one who wants `wanted` samples a packet;
 * the talk's packets.
 */
static uint32_t mix_over_talk(uint32_t length, uint32_t wanted, int64_t begins_ms, uint32_t late_ns)
{
    static uint8_t quiet[10 * FRAME_SAMPLES];
    uint8_t voice[MAX_FRAME];
    int64_t at = 0;
    uint32_t number = 0;
    pair(true);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = b};
    configure.remote = remote_at(phone(1), length % FRAME_SAMPLES ? PCMU : PCMA, 101);
    configure.remote.frame = (uint16_t)wanted;
    worker_obey(&worker, &configure);
    memset(quiet, ALAW_SILENCE, sizeof quiet);
    pieces[0] = (struct piece){quiet, sizeof quiet};
    for (int64_t began = worker.now; worker.now < began + SECOND_NS; tick()) {
        if (worker.now == began + (200 + begins_ms) * 1000000)
            play(1, 0, false, true);
        for (; at <= worker.now - began; at = ++number * length * SAMPLE_NS + (late_ns ? chance(late_ns) : 0)) {
            memset(voice, alaw_encode(16000), length);
            give(0, PCMA, (uint16_t)number, number * length, voice, length);
        }
    }
    return number;
}

/* RFC 3550 5.1: no number and no time is left out or taken twice, and no word of the talk but what waits at the end. */
static void check_talk_goes_on_below_a_mix(uint32_t length, uint32_t wanted, uint32_t packets)
{
    uint32_t samples = 0, before = NONE;
    const int16_t *law = length % FRAME_SAMPLES ? ulaw_linear : alaw_linear;
    for (uint32_t i = 0; i < sent_count; i++) {
        if (sent[i].slot != 1)
            continue;
        uint32_t here = (uint32_t)(sent[i].length - RTP_HEADER);
        CHECK((before == NONE) == !!(sent[i].data[1] & 0x80)); /* one talk spurt */
        CHECK(before == NONE || (uint16_t)(sent_sequence(i) - sent_sequence(before)) == 1);
        CHECK(before == NONE || sent_timestamp(i) - sent_timestamp(before) == sent[before].length - RTP_HEADER);
        for (uint32_t n = 0; n < here; n++)
            CHECK(law[sent[i].data[RTP_HEADER + n]] > 3500);
        samples += here;
        before = i;
    }
    CHECK(samples <= packets * length && samples + (length == wanted ? 1 : wanted) > packets * length);
}

static void test_talk_goes_on_without_a_gap_before_below_and_behind_a_mix_whenever_that_begins(void)
{
    for (uint32_t length = 80; length <= MAX_FRAME; length += 80)
        for (int64_t begins_ms = 0; begins_ms < 60; begins_ms += 2)
            for (int round = 0; round < 4; round++) {
                check_talk_goes_on_below_a_mix(length, length, mix_over_talk(length, length, begins_ms, round ? 6000000 : 0));
                finish();
            }
    for (uint32_t length = 80; length <= MAX_FRAME; length += length < 240 ? 80 : 240) /* nor does the listener's length matter */
        for (uint32_t wanted = 80; wanted <= MAX_FRAME; wanted += wanted < 240 ? 80 : 240)
            for (int64_t begins_ms = 0; begins_ms < 60; begins_ms += 6) {
                check_talk_goes_on_below_a_mix(length, wanted, mix_over_talk(length, wanted, begins_ms, 6000000));
                finish();
            }
}

/* A talker whose timestamps begin anew as the mix does, or as it ends: the line goes on by the time that has passed. */
static void test_no_timestamp_of_the_talk_moves_the_line_at_either_end_of_a_mix(void)
{
    static uint8_t quiet[10 * FRAME_SAMPLES];
    uint8_t voice[FRAME_SAMPLES] = {0};
    for (uint16_t anew = 9; anew < 24; anew++) {
        pair(true);
        memset(quiet, ALAW_SILENCE, sizeof quiet);
        pieces[0] = (struct piece){quiet, sizeof quiet};
        for (uint16_t index = 0; index < 40; index++) {
            if (index == 10)
                play(1, 0, false, true);
            give(0, PCMA, index, index * FRAME_SAMPLES - (index < anew ? 0u : 500000u), voice, sizeof voice);
            for (int i = 0; i < 10; i++)
                tick();
        }
        uint32_t before = NONE;
        for (uint32_t i = 0; i < sent_count; i++) {
            if (sent[i].slot != 1)
                continue;
            CHECK(before == NONE || sent_timestamp(i) - sent_timestamp(before) - FRAME_SAMPLES <= FRAME_SAMPLES);
            before = i;
        }
        finish();
    }
}

/* A key pressed below a mixed prompt goes on at once, and the talk of a side of the other law is no noise. */
static void test_keys_and_either_law_pass_a_mix(void)
{
    static uint8_t quiet[20 * FRAME_SAMPLES];
    const uint8_t key[4] = {5, 10, 0, 160};
    uint8_t voice[FRAME_SAMPLES];
    start();
    a = open_endpoint(0, PCMU, 101);
    b = open_endpoint(1, PCMA, 101);
    join(a, b);
    memset(quiet, ALAW_SILENCE, sizeof quiet);
    memset(voice, alaw_to_ulaw[alaw_encode(16000)], sizeof voice);
    pieces[0] = (struct piece){quiet, sizeof quiet};
    play(1, 0, false, true);
    for (uint16_t index = 0; index < 10; index++) {
        give(0, PCMU, index, index * FRAME_SAMPLES, voice, sizeof voice);
        for (int i = 0; i < 10; i++)
            tick();
    }
    uint32_t before = sent_count;
    for (uint32_t i = before - 6; i < before; i++)
        CHECK(sent[i].slot != 1 || abs(alaw_linear[sent[i].data[RTP_HEADER + 9]] - 4000) < 200);
    give(0, 101, 10, 10 * FRAME_SAMPLES, key, sizeof key);
    CHECK(sent_count == before + 1 && sent[before].slot == 1 && (sent[before].data[1] & 0x7F) == 101);
    CHECK(!memcmp(sent[before].data + RTP_HEADER, key, sizeof key));
    finish();
}

static void test_who_is_named_twice_hears_the_prompt_once(void)
{
    pair(true);
    random_pieces(1);
    b = a;
    play(1, 0, false, false);
    tick();
    CHECK(sent_count == 1 && worker.playing.count == 1);
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = a});
    CHECK(worker.playing.count == 0 && count_events(EVENT_PLAYED) == 1);
    finish();
}

int main(void)
{
    test_a_prompt_begins_for_all_in_the_tick_that_it_was_asked_for();
    test_frames_go_out_every_20_ms_and_do_not_drift();
    test_a_prompt_is_in_the_recording_sample_by_sample_however_ticks_come();
    test_after_a_long_stall_the_grid_begins_anew();
    test_keys_and_either_law_pass_a_mix();
    test_a_list_of_any_lengths_is_heard_without_a_seam_and_its_end_again_and_again();
    test_what_does_not_loop_ends_in_silence_and_is_told_complete();
    test_talk_ducks_by_12_db_and_comes_back_without_a_step();
    test_talk_goes_on_without_a_gap_before_below_and_behind_a_mix_whenever_that_begins();
    test_no_timestamp_of_the_talk_moves_the_line_at_either_end_of_a_mix();
    test_who_is_named_twice_hears_the_prompt_once();
    puts("ok");
    return 0;
}
