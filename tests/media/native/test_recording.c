/* Recordings in accelerated time: alignment under drift, jitter and loss, concealment, a day of talk. */
#include <math.h>

#include "steps.h"

#define MINUTES 10
#define SECONDS (60 * MINUTES)
#define CLICK 0x2A        /* the loudest code */
#define CLICK_EVERY_S 10

static uint8_t audio[2 * 8000 * (SECONDS + 2)];
static int64_t audio_end;

/* What the writer thread would write. */
static void collect_audio(void)
{
    const struct write_request *request;
    while ((request = ring_peek(&worker.writer.requests))) {
        if (request->type == WRITE_AUDIO) {
            CHECK(request->position == audio_end && audio_end + request->length <= (int64_t)sizeof audio);
            memcpy(audio + audio_end, request->audio, request->length);
            audio_end += request->length;
        }
        ring_pop(&worker.writer.requests);
    }
}

static uint32_t record_without_file(bool stereo)
{
    struct command record = {.type = COMMAND_RECORD, .handle = 1 << 16, .at = worker.now};
    record.record.left = open_endpoint(0, PCMA, 101);
    record.record.right = open_endpoint(1, PCMA, 101);
    record.record.voices = true;
    record.record.stereo = stereo;
    worker_obey(&worker, &record);
    audio_end = 0;
    return record.handle;
}

static void record(bool stereo)
{
    give_file(record_without_file(stereo), 77);
}

static void end_recording(void)
{
    struct command stop = {.type = COMMAND_CLOSE_RECORDING, .handle = 1 << 16, .at = worker.now};
    worker_obey(&worker, &stop);
    worker.now += FRAME_NS;
    recording_tick(&worker);
    collect_audio();
    CHECK(worker.recording.count == 0);
}

/* A phone whose clock is off by `ppm`, its packets late by up to `jitter_ns`, `loss` of 1000 lost. */
struct talker {
    uint32_t slot;
    double ppm;
    int64_t jitter_ns;
    uint32_t loss;
    uint32_t sent;
    struct { int64_t at; uint32_t index; } waiting[8];
    uint32_t count;
};

/* The moment, in seconds of the true clock, at which sample `n` is spoken. */
static double spoken_s(const struct talker *talker, uint64_t n)
{
    return (double)n / (8000.0 * (1 + talker->ppm * 1e-6));
}

/* Silence but for one loud sample whenever CLICK_EVERY_S have passed on the true clock. */
static void talker_frame(const struct talker *talker, uint32_t index, uint8_t *payload)
{
    memset(payload, ALAW_SILENCE, FRAME_SAMPLES);
    for (uint32_t i = 0; i < FRAME_SAMPLES; i++) {
        uint64_t n = (uint64_t)index * FRAME_SAMPLES + i;
        double before = spoken_s(talker, n) / CLICK_EVERY_S, after = spoken_s(talker, n + 1) / CLICK_EVERY_S;
        if ((int64_t)before != (int64_t)after)
            payload[i] = CLICK;
    }
}

static void talker_step(struct talker *talker, int64_t started_at)
{
    uint8_t payload[FRAME_SAMPLES];
    while (talker->count < 8) {
        uint64_t complete = (uint64_t)(talker->sent + 1) * FRAME_SAMPLES;
        int64_t at = started_at + (int64_t)(spoken_s(talker, complete) * 1e9);
        if (at > worker.now)
            break;
        if (chance(1000) >= talker->loss) {
            talker->waiting[talker->count].at = at + (talker->jitter_ns ? (int64_t)chance((uint32_t)talker->jitter_ns) : 0);
            talker->waiting[talker->count++].index = talker->sent;
        }
        talker->sent++;
    }
    for (uint32_t i = 0; i < talker->count; i++) {
        if (talker->waiting[i].at > worker.now)
            continue;
        uint32_t index = talker->waiting[i].index;
        talker->waiting[i--] = talker->waiting[--talker->count];
        talker_frame(talker, index, payload);
        give(talker->slot, PCMA, (uint16_t)(65000 + index), 0xFFFF0000u + index * FRAME_SAMPLES, payload, FRAME_SAMPLES);
    }
}

/* Seconds of the recording at which a channel clicks; the number of clicks. */
static int clicks(int channel, double *at)
{
    int count = 0;
    int64_t last = -8000;
    for (int64_t i = channel; i < audio_end; i += 2)
        if (audio[i] == CLICK && i / 2 - last > 4000) { /* a concealed gap may repeat one */
            last = i / 2;
            at[count++] = (double)last / 8000;
        }
    return count;
}

static void record_two(struct talker *a, struct talker *b)
{
    start();
    record(true);
    int64_t started_at = worker.now;
    while (worker.now < started_at + SECONDS * SECOND_NS) {
        worker.now += TICK_NS;
        talker_step(a, started_at);
        talker_step(b, started_at);
        recording_tick(&worker);
        collect_audio();
    }
    end_recording();
    finish();
}

static void check_alignment(double most_s)
{
    static double left[100], right[100];
    int count = clicks(0, left), other = clicks(1, right), matched = 0;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < other; j++)
            if (fabs(left[i] - right[j]) < 1) {
                matched++;
                CHECK(fabs(left[i] - right[j]) <= most_s);
                /* A packet arrives a frame after its first sample was spoken, and then it is jitter that delays it. */
                double true_s = round(left[i] / CLICK_EVERY_S) * CLICK_EVERY_S;
                CHECK(fabs(left[i] - true_s - 0.02) <= most_s && fabs(right[j] - true_s - 0.02) <= most_s);
            }
    CHECK(matched >= SECONDS / CLICK_EVERY_S * 3 / 4);
}

static void test_both_sides_stay_together_for_ten_minutes_with_100_ppm_between_them(void)
{
    struct talker a = {.slot = 0, .ppm = 100}, b = {.slot = 1, .ppm = -100};
    record_two(&a, &b);
    check_alignment(0.012);
}

static void test_both_sides_stay_together_through_drift_jitter_and_loss(void)
{
    struct talker a = {.slot = 0, .ppm = -100, .jitter_ns = 40000000, .loss = 50};
    struct talker b = {.slot = 1, .ppm = 100, .jitter_ns = 10000000, .loss = 10};
    record_two(&a, &b);
    check_alignment(0.020);
}

/* Without drift a recording is bit by bit what was sent, however it was delayed. */
static void test_what_arrives_is_recorded_bit_by_bit(void)
{
    start();
    record(true);
    int64_t started_at = worker.now;
    for (uint32_t index = 0; index < 500; index++) {
        uint8_t payload[FRAME_SAMPLES];
        for (uint32_t i = 0; i < FRAME_SAMPLES; i++)
            payload[i] = (uint8_t)(index + i);
        worker.now = started_at + index * FRAME_NS + (index ? chance(9000000) : 0);
        give(0, PCMA, (uint16_t)index, index * FRAME_SAMPLES, payload, sizeof payload);
        recording_tick(&worker);
    }
    end_recording();
    for (uint32_t n = 0; n < 490 * FRAME_SAMPLES; n++)
        CHECK(audio[2 * n] == (uint8_t)(n / FRAME_SAMPLES + n % FRAME_SAMPLES));
    finish();
}

/* Silence adds nothing: of two sides, a prompt among them, who alone is heard is heard as he was. */
static void test_in_a_mix_who_speaks_alone_is_recorded_bit_by_bit(void)
{
    start();
    record(false);
    for (uint32_t index = 0; index < 150; index++, worker.now += FRAME_NS) {
        uint8_t speech[FRAME_SAMPLES], other[FRAME_SAMPLES];
        for (uint32_t i = 0; i < FRAME_SAMPLES; i++) {
            speech[i] = (uint8_t)(index + i);
            other[i] = i % 3 ? ALAW_SILENCE : ALAW_SILENCE ^ 0x80; /* as a quiet line has it */
        }
        give(0, PCMA, (uint16_t)index, index * FRAME_SAMPLES, index % 100 < 50 ? speech : other, FRAME_SAMPLES);
        give(1, PCMA, (uint16_t)index, index * FRAME_SAMPLES, index % 100 < 50 ? other : speech, FRAME_SAMPLES);
        recording_tick(&worker);
    }
    end_recording();
    for (uint32_t n = 0; n < 150 * FRAME_SAMPLES; n++) {
        uint8_t code = (uint8_t)(n / FRAME_SAMPLES + n % FRAME_SAMPLES);
        CHECK(audio[n] == code || (alaw_added[code] == 0 && alaw_added[audio[n]] == 0));
    }
    finish();
}

/* Two quiet rooms, each of them without an offset. */
static void test_a_mix_has_no_direct_component_of_its_own(void)
{
    double sum = 0;
    start();
    record(false);
    for (uint32_t index = 0; index < 150; index++, worker.now += FRAME_NS) {
        for (uint32_t side = 0; side < 2; side++) {
            uint8_t noise[FRAME_SAMPLES];
            for (uint32_t i = 0; i < FRAME_SAMPLES; i++)
                noise[i] = ALAW_SILENCE ^ (uint8_t)(chance(8) | chance(2) << 7);
            give(side, PCMA, (uint16_t)index, index * FRAME_SAMPLES, noise, FRAME_SAMPLES);
        }
        recording_tick(&worker);
    }
    end_recording();
    for (int64_t n = 0; n < 150 * FRAME_SAMPLES; n++)
        sum += alaw_linear[audio[n]];
    CHECK(fabs(sum / (150 * FRAME_SAMPLES)) < 3);
    finish();
}

static double level(int64_t from, int64_t to)
{
    double sum = 0;
    for (int64_t i = from; i < to; i++)
        sum += (double)alaw_linear[audio[i]] * alaw_linear[audio[i]];
    return sqrt(sum / (double)(to - from));
}

/* A steady vowel of 125 Hz, of which frames `lost` to `back` - 1 never come; -1 for the event of a key in their place. */
static void record_vowel(uint32_t lost, uint32_t back, bool key)
{
    start();
    record(false);
    for (uint32_t index = 0; index < 100; index++, worker.now += FRAME_NS) {
        uint8_t payload[FRAME_SAMPLES], event[4] = {5, 10, 0, 160};
        for (uint32_t i = 0; i < FRAME_SAMPLES; i++) {
            double t = (double)(index * FRAME_SAMPLES + i) / 8000;
            payload[i] = alaw_encode((int)(6000 * sin(2 * M_PI * 125 * t) + 3000 * sin(2 * M_PI * 750 * t)));
        }
        if (index < lost || index >= back)
            give(0, PCMA, (uint16_t)index, index * FRAME_SAMPLES, payload, sizeof payload);
        else if (key)
            give(0, 101, (uint16_t)index, lost * FRAME_SAMPLES, event, sizeof event);
        recording_tick(&worker);
    }
    end_recording();
    finish();
}

static void test_a_lost_packet_is_concealed_by_the_period_before_it(void)
{
    record_vowel(50, 51, false);
    for (int64_t n = 50 * FRAME_SAMPLES; n < 50 * FRAME_SAMPLES + 80; n++) /* a vowel goes on as it was */
        CHECK(abs(alaw_linear[audio[n]] - alaw_linear[audio[n - 640]]) < 1200);
    double whole = level(40 * FRAME_SAMPLES, 50 * FRAME_SAMPLES);
    CHECK(level(50 * FRAME_SAMPLES, 51 * FRAME_SAMPLES) > 0.8 * whole);
}

static void test_a_long_loss_fades_to_silence_within_60_ms(void)
{
    record_vowel(50, 60, false);
    double whole = level(40 * FRAME_SAMPLES, 50 * FRAME_SAMPLES);
    CHECK(level(50 * FRAME_SAMPLES, 50 * FRAME_SAMPLES + 80) > 0.9 * whole);
    CHECK(level(52 * FRAME_SAMPLES, 53 * FRAME_SAMPLES) < 0.5 * whole);
    CHECK(level(53 * FRAME_SAMPLES, 60 * FRAME_SAMPLES) < 20);
}

/* Energy of the second differences: a click has it where a voice has not. Per sample, of four to either side of `at`. */
static double roughness(int64_t at, int64_t reach)
{
    double sum = 0;
    for (int64_t i = at - reach; i < at + reach; i++) {
        double bend = alaw_linear[audio[i - 1]] - 2 * alaw_linear[audio[i]] + alaw_linear[audio[i + 1]];
        sum += bend * bend;
    }
    return sum / (double)(2 * reach);
}

/* A voice whose pitch rises from 100 to 180 Hz, so that no period fits the next; `count` frames from `lost` on are lost. */
static void record_glide(uint32_t lost, uint32_t count)
{
    start();
    record(false);
    double phase = 0;
    for (uint32_t index = 0; index < 100; index++, worker.now += FRAME_NS) {
        uint8_t payload[FRAME_SAMPLES];
        for (uint32_t i = 0; i < FRAME_SAMPLES; i++) {
            phase += 2 * M_PI * (100 + 80.0 * (index * FRAME_SAMPLES + i) / 16000) / 8000;
            payload[i] = alaw_encode((int)(6000 * sin(phase) + 2500 * sin(3 * phase + 1) + 1200 * sin(5 * phase + 2)));
        }
        if (index < lost || index >= lost + count)
            give(0, PCMA, (uint16_t)index, index * FRAME_SAMPLES, payload, sizeof payload);
        recording_tick(&worker);
    }
    end_recording();
    finish();
}

/* The mean of the seams behind every place where a packet may be lost, by that of the voice itself. */
static void test_the_seams_of_a_filled_gap_do_not_click(void)
{
    for (uint32_t count = 1; count <= 2; count++) {
        double begins = 0, ends = 0, voice = 0;
        for (uint32_t lost = 20; lost < 80; lost++) {
            int64_t from = lost * FRAME_SAMPLES, to = (lost + count) * FRAME_SAMPLES;
            record_glide(lost, count);
            begins += roughness(from, 4);
            ends += roughness(to, 4);
            voice += roughness(from - 800, 800);
        }
        CHECK(begins < 1.5 * voice && ends < 1.5 * voice); /* a gap that only ends is 7 times as rough, a longer one 27 */
    }
}

static void test_a_key_press_is_not_concealed(void)
{
    record_vowel(50, 60, true);
    CHECK(level(50 * FRAME_SAMPLES, 60 * FRAME_SAMPLES) < 20);
}

static void test_a_speaker_who_pauses_is_silent_and_not_concealed(void)
{
    start();
    record(false);
    for (uint32_t index = 0; index < 100; index++, worker.now += FRAME_NS) {
        uint8_t payload[FRAME_SAMPLES];
        memset(payload, CLICK, sizeof payload);
        if (index < 50 || index >= 55) /* the numbers go on without a gap: nothing was lost (RFC 3550 5.1) */
            give(0, PCMA, (uint16_t)(index < 50 ? index : index - 5), index * FRAME_SAMPLES, payload, sizeof payload);
        recording_tick(&worker);
    }
    end_recording();
    CHECK(level(49 * FRAME_SAMPLES, 50 * FRAME_SAMPLES) > 20000 && level(50 * FRAME_SAMPLES, 55 * FRAME_SAMPLES) < 20);
    finish();
}

static void test_a_recording_of_one_side_twice_ends_at_once_and_harms_nobody(void)
{
    start();
    struct command record = {.type = COMMAND_RECORD, .handle = 1 << 16, .at = worker.now};
    record.record.left = record.record.right = open_endpoint(0, PCMA, 101);
    worker_obey(&worker, &record);
    give_file(record.handle, 77);
    worker.now += FRAME_NS;
    recording_tick(&worker);
    CHECK(worker.recording.count == 0 && worker.endpoints[0].recording == NONE);
    drain_writer();
    finish();
}

/* The order of what the writer is told. */
static uint32_t writes_of(enum write_type *types)
{
    uint32_t count = 0;
    const struct write_request *request;
    while ((request = ring_peek(&worker.writer.requests))) {
        CHECK(count < 16 && request->handle == 1 << 16 && (request->type != WRITE_OPEN || request->fd == 77));
        types[count++] = request->type;
        ring_pop(&worker.writer.requests);
    }
    return count;
}

static void talk_for_a_second(void)
{
    for (uint16_t index = 0; index < 50; index++, worker.now += FRAME_NS) {
        give_talk(0, index);
        recording_tick(&worker);
    }
}

static void test_audio_goes_to_the_writer_before_its_file_is_open_and_the_end_waits_for_it(void)
{
    enum write_type types[16];
    start();
    uint32_t handle = record_without_file(false);
    talk_for_a_second();
    CHECK(writes_of(types) == 1 && types[0] == WRITE_AUDIO);
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE_RECORDING, .handle = handle, .at = worker.now});
    talk_for_a_second();
    CHECK(writes_of(types) == 1 && types[0] == WRITE_AUDIO); /* the rest */
    CHECK(worker.recording.count == 1 && worker.endpoints[0].recording == NONE);
    give_file(handle, 77);
    give_file(handle, 78); /* once of each */
    recording_tick(&worker);
    CHECK(writes_of(types) == 2 && types[0] == WRITE_OPEN && types[1] == WRITE_CLOSE && worker.recording.count == 0);
    CHECK(count_events(EVENT_TRUNCATED) == 0);
    finish();
}

static void test_a_recording_without_a_file_is_over_and_leaves_its_sides(void)
{
    enum write_type types[16];
    start();
    uint32_t handle = record_without_file(false);
    give_file(handle, -1);
    CHECK(worker.endpoints[0].recording == NONE && worker.endpoints[1].recording == NONE);
    worker.now += FRAME_NS;
    recording_tick(&worker);
    CHECK(writes_of(types) == 1 && types[0] == WRITE_CLOSE && worker.recording.count == 0);
    finish();
}

static void test_the_end_of_the_core_waits_for_no_file(void)
{
    enum write_type types[16];
    start();
    record_without_file(false);
    worker_close_all(&worker);
    CHECK(writes_of(types) == 1 && types[0] == WRITE_CLOSE && worker.recording.count == 0);
    finish();
}

int main(void)
{
    test_audio_goes_to_the_writer_before_its_file_is_open_and_the_end_waits_for_it();
    test_a_recording_without_a_file_is_over_and_leaves_its_sides();
    test_the_end_of_the_core_waits_for_no_file();
    test_both_sides_stay_together_for_ten_minutes_with_100_ppm_between_them();
    test_both_sides_stay_together_through_drift_jitter_and_loss();
    test_what_arrives_is_recorded_bit_by_bit();
    test_in_a_mix_who_speaks_alone_is_recorded_bit_by_bit();
    test_a_mix_has_no_direct_component_of_its_own();
    test_a_lost_packet_is_concealed_by_the_period_before_it();
    test_a_long_loss_fades_to_silence_within_60_ms();
    test_the_seams_of_a_filled_gap_do_not_click();
    test_a_key_press_is_not_concealed();
    test_a_speaker_who_pauses_is_silent_and_not_concealed();
    test_a_recording_of_one_side_twice_ends_at_once_and_harms_nobody();
    puts("ok");
    return 0;
}
