/* Recordings on the wall clock: each side's packets stand where they belong (timeline.c), silence elsewhere.
 *
 * The last 240 ms (RECORD_DELAY) and what does not fill a chunk of 500 ms yet stay open for packets that come late or
 * out of order; older audio goes to the writer thread.
 */
#include "concealment.h"
#include "core.h"

#include <string.h>

#define LOST_AT_MOST 50    /* packets: more are no loss but an interruption */
#define READ_ON_NS (SECOND_NS / 5) /* behind a stall, before what did not come is given up */
#define SLIPPED_AT_MOST 16 /* samples without loss: the sliding of a time line, not a pause */

static struct recording *recording_of(struct worker *worker, uint32_t handle)
{
    uint32_t slot = handle & 0xFFFF;
    if (!handle || slot >= MAX_RECORDINGS || worker->recordings[slot].handle != handle)
        return NULL;
    return &worker->recordings[slot];
}

static int64_t recording_position(const struct recording *recording, int64_t at)
{
    return (at - recording->started_at) / SAMPLE_NS;
}

static struct write_request *recording_request(struct worker *worker, struct recording *recording, enum write_type type)
{
    struct write_request *request = ring_reserve(&worker->writer.requests);
    if (!request)
        return NULL;
    request->type = type;
    request->handle = recording->handle;
    request->truncated = recording->truncated;
    return request;
}

static void recording_truncate(struct worker *worker, struct recording *recording)
{
    if (recording->truncated)
        return;
    recording->truncated = true;
    struct event *event = worker_event(worker, EVENT_TRUNCATED, recording->handle);
    if (event) {
        event->error = 0;
        worker_event_done(worker);
    }
}

/* Commands */

/* What the writer has got of it before, it has kept. */
static void recording_open(struct worker *worker, struct recording *recording)
{
    if (!recording->has_come || recording->opened)
        return;
    if (recording->fd >= 0) {
        struct write_request *request = recording_request(worker, recording, WRITE_OPEN);
        if (!request)
            return; /* the ring is full: next tick */
        request->fd = recording->fd;
        request->stereo = recording->stereo;
        request->position = recording->written;
        ring_commit(&worker->writer.requests);
    }
    recording->opened = true;
}

static void recording_end(struct worker *worker, struct recording *recording, int64_t at)
{
    if (recording->closing)
        return;
    for (int side = 0; side < 2; side++)
        if (recording->endpoints[side] != NONE)
            kernel_relay_take_back(worker, &worker->endpoints[recording->endpoints[side]]);
    recording->closing = true;
    recording->length = recording_position(recording, at) & ~1LL; /* RIFF chunks have even sizes */
    for (int side = 0; side < 2; side++)
        if (recording->endpoints[side] != NONE)
            worker->endpoints[recording->endpoints[side]].recording = NONE;
}

void recording_start(struct worker *worker, const struct command *command)
{
    struct recording *recording = &worker->recordings[command->handle & 0xFFFF];
    memset(recording, 0, offsetof(struct recording, layers));
    memset(recording->layers, ALAW_SILENCE, sizeof recording->layers);
    recording->handle = command->handle;
    recording->slot = command->handle & 0xFFFF;
    recording->fd = -1;
    recording->stereo = command->record.stereo;
    recording->voices = command->record.voices;
    recording->started_at = command->at - command->record.elapsed;
    recording->flushed = recording_position(recording, command->at);
    slots_add(&worker->recording, recording->slot, &recording->listed);
    for (uint8_t side = 0; side < 2; side++) {
        struct endpoint *endpoint = endpoint_of(worker, side ? command->record.right : command->record.left);
        recording->endpoints[side] = NONE;
        if (!endpoint || endpoint->recording == recording->slot) /* gone, or named twice */
            continue;
        recording_leave(worker, endpoint);
        kernel_relay_take_back(worker, endpoint);
        recording->endpoints[side] = endpoint->slot;
        endpoint->recording = recording->slot;
        endpoint->side = side;
    }
    if (recording->endpoints[0] == NONE || recording->endpoints[1] == NONE)
        recording_end(worker, recording, command->at);
}

static void recording_has_come(struct worker *worker, struct recording *recording, int fd, int64_t written)
{
    recording->has_come = true;
    recording->fd = fd;
    recording->written = written;
    recording_open(worker, recording);
    if (fd < 0)
        recording_end(worker, recording, worker->now);
}

/* Opening takes as long as the disk likes: the recording has begun before. */
void recording_file(struct worker *worker, const struct command *command)
{
    struct recording *recording = recording_of(worker, command->handle);
    if (recording && !recording->has_come)
        recording_has_come(worker, recording, command->file.fd, command->file.written);
}

void recording_give_up_files(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->recording.count; i++) {
        struct recording *recording = &worker->recordings[worker->recording.slot[i]];
        if (!recording->has_come)
            recording_has_come(worker, recording, -1, 0);
    }
}

void recording_voices(struct worker *worker, uint32_t handle)
{
    struct recording *recording = recording_of(worker, handle);
    if (recording)
        recording->voices = true;
}

void recording_close(struct worker *worker, const struct command *command)
{
    struct recording *recording = recording_of(worker, command->handle);
    if (recording)
        recording_end(worker, recording, command->at);
}

/* One side has gone, or goes to another recording: this one is over. */
void recording_leave(struct worker *worker, struct endpoint *endpoint)
{
    if (endpoint->recording != NONE)
        recording_end(worker, &worker->recordings[endpoint->recording], worker->now);
}

/* What is heard */

static void copy_codes(uint8_t *to, const uint8_t *codes, size_t count, const uint8_t *table)
{
    if (table)
        g711_translate(to, codes, count, table);
    else
        memcpy(to, codes, count);
}

/* What lies before or behind the window is left out. */
static void layer_write(struct recording *recording, enum layer layer, int64_t position, const uint8_t *codes,
                        int64_t count, const uint8_t *table)
{
    int64_t late = recording->flushed - position, room = recording->flushed + RECORD_WINDOW - position;
    if (late > 0) {
        codes += late;
        position += late;
        count -= late;
        room -= late;
    }
    if (count > room)
        count = room;
    if (count <= 0)
        return;
    int64_t place = position % RECORD_WINDOW;
    int64_t first = count < RECORD_WINDOW - place ? count : RECORD_WINDOW - place;
    copy_codes(recording->layers[layer] + place, codes, (size_t)first, table);
    copy_codes(recording->layers[layer], codes + first, (size_t)(count - first), table);
    if (position + count > recording->layer_until[layer])
        recording->layer_until[layer] = position + count;
}

/* The CONCEALMENT_HISTORY samples before `position`, or false where they are written already or nobody spoke. */
static bool layer_read(const struct recording *recording, enum layer layer, int64_t position, uint8_t *codes)
{
    int64_t from = position - CONCEALMENT_HISTORY;
    if (from < recording->flushed || recording->layer_until[layer] < position)
        return false;
    for (int i = 0; i < CONCEALMENT_HISTORY; i++)
        codes[i] = recording->layers[layer][(from + i) % RECORD_WINDOW];
    return true;
}

/* Fills the gap before `position` that loss has made, or the following of a drift; a pause of the speaker stays one. `end`
 * is what fades out below the packet that comes then. False: there was nothing to fill.
 */
static bool recording_fill_gap(struct recording *recording, enum layer layer, const struct timeline *line, uint32_t lost,
                               int64_t position, uint8_t *end)
{
    uint8_t before[CONCEALMENT_HISTORY], codes[CONCEALMENT_TAIL + CONCEALMENT_MOST + CONCEALMENT_END];
    int64_t gap = position - line->until;
    if (line->until < 0 || gap <= 0 || lost > LOST_AT_MOST || (!lost && gap > SLIPPED_AT_MOST))
        return false;
    if (gap > CONCEALMENT_MOST)
        gap = CONCEALMENT_MOST;
    if (!layer_read(recording, layer, line->until, before))
        return false;
    conceal(before, codes, (int)gap + CONCEALMENT_END);
    layer_write(recording, layer, line->until - CONCEALMENT_TAIL, codes, CONCEALMENT_TAIL + gap, NULL);
    memcpy(end, codes + CONCEALMENT_TAIL + gap, CONCEALMENT_END);
    return true;
}

/* The packet behind a gap: it begins below the end of the filling. */
static void recording_end_gap(struct recording *recording, enum layer layer, const struct rtp *rtp, int64_t position,
                              const uint8_t *end)
{
    uint8_t codes[CONCEALMENT_END];
    int count = rtp->length < CONCEALMENT_END ? (int)rtp->length : CONCEALMENT_END;
    copy_codes(codes, rtp->payload, (size_t)count, rtp->payload_type == PCMU ? ulaw_to_alaw : NULL);
    conceal_end(codes, end, count);
    layer_write(recording, layer, position, codes, count, NULL);
}

static void recording_make_room(struct worker *worker, struct recording *recording, int64_t until);

void recording_voice(struct worker *worker, struct endpoint *from, const struct rtp *rtp)
{
    struct recording *recording = &worker->recordings[from->recording];
    struct timeline *line = &recording->timelines[from->side];
    enum layer layer = from->side ? VOICE_RIGHT : VOICE_LEFT;
    int64_t arrival = recording_position(recording, worker->now);
    if (worker->now < worker->caught_up_at)
        arrival = timeline_due(line, rtp, arrival);
    int64_t position = timeline_place(line, rtp, arrival);
    recording_make_room(worker, recording, position + (int64_t)rtp->length);
    uint32_t lost = timeline_lost(line, rtp);
    if (recording->voices) {
        uint8_t end[CONCEALMENT_END];
        bool filled = recording_fill_gap(recording, layer, line, lost, position, end);
        layer_write(recording, layer, position, rtp->payload, (int64_t)rtp->length,
                    rtp->payload_type == PCMU ? ulaw_to_alaw : NULL);
        if (filled)
            recording_end_gap(recording, layer, rtp, position, end);
    }
    if (position + (int64_t)rtp->length > line->until)
        line->until = position + (int64_t)rtp->length;
}

void recording_other(struct worker *worker, struct endpoint *from, const struct rtp *rtp)
{
    struct timeline *line = &worker->recordings[from->recording].timelines[from->side];
    if (line->set && line->ssrc == rtp->ssrc)
        timeline_lost(line, rtp);
}

/* One frame of a prompt: in a mono mix once, however many of the two hear it. */
void recording_prompt(struct worker *worker, const struct playback *playback, const uint8_t *alaw, int64_t at)
{
    uint32_t mono_done = NONE;
    for (uint8_t i = 0; i < playback->count; i++) {
        if (playback->listeners[i].endpoint == NONE)
            continue;
        const struct endpoint *endpoint = &worker->endpoints[playback->listeners[i].endpoint];
        if (endpoint->recording == NONE || endpoint->recording == mono_done)
            continue;
        struct recording *recording = &worker->recordings[endpoint->recording];
        layer_write(recording, endpoint->side ? PROMPT_RIGHT : PROMPT_LEFT, recording_position(recording, at), alaw,
                    FRAME_SAMPLES, NULL);
        if (!recording->stereo)
            mono_done = endpoint->recording;
    }
}

/* To the writer */

/* Samples that lie next to each other in the window. */
static void mix_run(const uint8_t *const *codes, int count, uint8_t *out, int step, uint32_t samples)
{
    for (uint32_t i = 0; i < samples; i++, out += step) {
        int sum = 0;
        for (int layer = 0; layer < count; layer++)
            sum += alaw_added[codes[layer][i]];
        *out = alaw_sum(sum);
    }
}

/* What is often alone or with one other needs no loop within the loop. */
static void mix_few(const uint8_t *const *codes, int count, uint8_t *out, int step, uint32_t samples)
{
    const uint8_t *one = count ? codes[0] : NULL, *other = count > 1 ? codes[1] : NULL;
    for (uint32_t i = 0; i < samples; i++, out += step)
        *out = !one ? ALAW_SILENCE : !other ? one[i] : alaw_sum(alaw_added[one[i]] + alaw_added[other[i]]);
}

static void mix_layers(const struct recording *recording, const enum layer *layers, int count, uint8_t *out, int step,
                       uint32_t samples)
{
    uint32_t from = (uint32_t)(recording->flushed % RECORD_WINDOW);
    uint32_t first = samples < RECORD_WINDOW - from ? samples : RECORD_WINDOW - from;
    const uint8_t *before[LAYERS], *behind[LAYERS];
    for (int i = 0; i < count; i++) {
        before[i] = recording->layers[layers[i]] + from;
        behind[i] = recording->layers[layers[i]];
    }
    (count > 2 ? mix_run : mix_few)(before, count, out, step, first);
    (count > 2 ? mix_run : mix_few)(behind, count, out + (size_t)first * (size_t)step, step, samples - first);
}

static void mix_channel(const struct recording *recording, const enum layer *candidates, int count, uint8_t *out,
                        int step, uint32_t samples)
{
    enum layer layers[LAYERS];
    int used = 0;
    for (int i = 0; i < count; i++)
        if (recording->layer_until[candidates[i]] > recording->flushed)
            layers[used++] = candidates[i];
    mix_layers(recording, layers, used, out, step, samples);
}

static void recording_mix(const struct recording *recording, uint8_t *out, uint32_t samples)
{
    static const enum layer all[] = {VOICE_LEFT, VOICE_RIGHT, PROMPT_LEFT, PROMPT_RIGHT};
    static const enum layer left[] = {VOICE_LEFT, PROMPT_LEFT}, right[] = {VOICE_RIGHT, PROMPT_RIGHT};
    if (!recording->stereo) {
        mix_channel(recording, all, LAYERS, out, 1, samples);
        return;
    }
    mix_channel(recording, left, 2, out, 2, samples);
    mix_channel(recording, right, 2, out + 1, 2, samples);
}

static void recording_forget(struct recording *recording, uint32_t samples)
{
    uint32_t from = (uint32_t)(recording->flushed % RECORD_WINDOW);
    uint32_t first = samples < RECORD_WINDOW - from ? samples : RECORD_WINDOW - from;
    for (int layer = 0; layer < LAYERS; layer++) {
        memset(recording->layers[layer] + from, ALAW_SILENCE, first);
        memset(recording->layers[layer], ALAW_SILENCE, samples - first);
    }
    recording->flushed += samples;
}

static void recording_flush(struct worker *worker, struct recording *recording, uint32_t samples)
{
    uint32_t channels = recording->stereo ? 2 : 1;
    struct write_request *request = recording_request(worker, recording, WRITE_AUDIO);
    if (request) {
        request->position = recording->flushed * channels;
        request->length = samples * channels;
        recording_mix(recording, request->audio, samples);
        ring_commit(&worker->writer.requests);
        worker->totals.bytes_recorded += request->length;
    } else {
        recording_truncate(worker, recording);
    }
    recording_forget(recording, samples);
}

static void recording_finish(struct worker *worker, struct recording *recording)
{
    while (recording->length > recording->flushed) {
        int64_t rest = recording->length - recording->flushed;
        recording_flush(worker, recording, rest > RECORD_CHUNK ? RECORD_CHUNK : (uint32_t)rest);
    }
    struct write_request *request = recording->opened ? recording_request(worker, recording, WRITE_CLOSE) : NULL;
    if (!request)
        return; /* the ring is full, or the file has not come: next tick */
    request->position = recording->length * (recording->stereo ? 2 : 1);
    ring_commit(&worker->writer.requests);
    uint32_t moved = slots_remove(&worker->recording, recording->listed);
    worker->recordings[moved].listed = recording->listed;
    recording->handle = 0;
}

/* Of what came while this thread stood still there may be more than the window has. */
static void recording_make_room(struct worker *worker, struct recording *recording, int64_t until)
{
    while (worker->now < worker->caught_up_at && until > recording->flushed + RECORD_WINDOW)
        recording_flush(worker, recording, RECORD_CHUNK);
}

/* Behind a stall, while there may be talk from before its end to be read. A prompt leaves none. */
static bool recording_reads_on(const struct worker *worker, const struct recording *recording)
{
    if (!worker->woke_at || worker->now - worker->woke_at >= READ_ON_NS)
        return false;
    const struct timeline *lines = recording->timelines;
    int64_t until = lines[0].until > lines[1].until ? lines[0].until : lines[1].until;
    return until > recording_position(recording, worker->stood_from) - RECORD_DELAY;
}

/* Every 20 ms is often enough for chunks of 500 ms. */
void recording_tick(struct worker *worker)
{
    if (worker->now < worker->next_recordings)
        return;
    worker->next_recordings = worker->now + FRAME_NS;
    for (uint32_t i = worker->recording.count; i-- > 0;) {
        struct recording *recording = &worker->recordings[worker->recording.slot[i]];
        recording_open(worker, recording);
        int64_t position = recording_position(recording, worker->now);
        bool flushing = !recording->closing && !recording_reads_on(worker, recording);
        while (flushing && position - recording->flushed >= RECORD_CHUNK + RECORD_DELAY)
            recording_flush(worker, recording, RECORD_CHUNK);
        if (recording->closing)
            recording_finish(worker, recording);
    }
    writer_wake(&worker->writer);
}
