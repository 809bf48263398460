/* Prompts on the exact 20 ms grid: in the place of the talk, or mixed over it; one position for all who listen. */
#include "core.h"

#include <string.h>

#define MIX_MARGIN_NS 4000000LL /* by which talk may be late at the beginning of a mix and is there for the first frame */
#define LEAST_SPACING_NS 10000000LL
#define GIVE_UP_NS 100000000LL
#define FULL_GAIN 256
#define DUCKED_GAIN 64 /* -12 dB: the prompt is understood, and so is who talks on */

static struct playback *playback_of(struct worker *worker, uint32_t handle)
{
    uint32_t slot = handle & 0xFFFF;
    if (!handle || slot >= MAX_PLAYBACKS || worker->playbacks[slot].handle != handle)
        return NULL;
    return &worker->playbacks[slot];
}

static void queue_push(struct listener *listener, struct line *line, const struct rtp *rtp)
{
    line_mix(line, rtp, listener->queue_head == listener->queue_tail);
    for (size_t i = 0; i < rtp->length; i++) {
        uint8_t code = rtp->payload[i];
        listener->queue[listener->queue_tail++ % MIX_QUEUE] = rtp->payload_type == PCMU ? ulaw_to_alaw[code] : code;
    }
    if (listener->queue_tail - listener->queue_head > MIX_QUEUE)
        listener->queue_head = listener->queue_tail - MIX_QUEUE;
}

static size_t queue_pop(struct listener *listener, uint8_t *frame)
{
    size_t count = 0;
    for (; count < FRAME_SAMPLES && listener->queue_head != listener->queue_tail; count++)
        frame[count] = listener->queue[listener->queue_head++ % MIX_QUEUE];
    return count;
}

/* The talk that still waits is sent at once, so that the end of a mixed prompt cuts no word. */
static void queue_flush(struct worker *worker, struct endpoint *endpoint, struct listener *listener)
{
    uint8_t frame[FRAME_SAMPLES];
    bool begins = !listener->report.frames; /* it ends before its first frame */
    for (; endpoint->line.open && listener->queue_tail - listener->queue_head >= FRAME_SAMPLES; begins = false) {
        queue_pop(listener, frame);
        line_frame(worker, endpoint, frame, SOURCE_MIX, begins);
    }
    size_t rest = endpoint->line.open ? queue_pop(listener, frame) : 0;
    if (rest)
        line_rest(worker, endpoint, frame, rest, begins);
}

static void listener_report(struct worker *worker, struct playback *playback, struct listener *listener, bool completed)
{
    if (listener->endpoint == NONE)
        return;
    struct endpoint *endpoint = &worker->endpoints[listener->endpoint];
    if (playback->mix)
        queue_flush(worker, endpoint, listener);
    listener->report.completed = completed;
    listener->report.remote_lost = (int32_t)(endpoint->remote_lost - listener->lost_at_start);
    listener->endpoint = endpoint->playback = NONE;
}

static void playback_end(struct worker *worker, struct playback *playback, bool completed)
{
    struct event *event = worker_event(worker, EVENT_PLAYED, playback->handle);
    for (uint8_t i = 0; i < playback->count; i++)
        listener_report(worker, playback, &playback->listeners[i], completed);
    if (event) {
        event->played.count = playback->count;
        for (uint8_t i = 0; i < playback->count; i++)
            event->played.reports[i] = playback->listeners[i].report;
        worker_event_done(worker);
    }
    uint32_t moved = slots_remove(&worker->playing, playback->listed);
    worker->playbacks[moved].listed = playback->listed;
    playback->handle = 0;
}

static void listener_start(struct worker *worker, struct playback *playback, struct listener *listener, uint32_t handle)
{
    struct endpoint *endpoint = endpoint_of(worker, handle);
    memset(&listener->report, 0, sizeof listener->report);
    listener->queue_head = listener->queue_tail = 0;
    listener->gain = FULL_GAIN;
    listener->endpoint = NONE;
    if (!endpoint || endpoint->playback == playback->slot) /* gone, or named twice */
        return;
    playback_leave(worker, endpoint);
    kernel_relay_stop(worker, endpoint);
    listener->endpoint = endpoint->slot;
    listener->lost_at_start = endpoint->remote_lost;
    endpoint->playback = playback->slot;
}

static bool playback_heard(const struct playback *playback)
{
    for (uint8_t i = 0; i < playback->count; i++)
        if (playback->listeners[i].endpoint != NONE)
            return true;
    return false;
}

/* A mix begins when each listener has, of talk in packets of whatever length, as much as no frame will want in vain. */
static int64_t playback_patience(const struct worker *worker, const struct playback *playback)
{
    int64_t frames = 1;
    for (uint8_t i = 0; i < playback->count; i++) {
        uint32_t slot = playback->listeners[i].endpoint;
        uint32_t samples = slot == NONE ? 0 : worker->endpoints[slot].line.in_samples;
        if (samples > frames * FRAME_SAMPLES)
            frames = (samples + FRAME_SAMPLES - 1) / FRAME_SAMPLES;
    }
    return frames * FRAME_NS + MIX_MARGIN_NS;
}

void playback_start(struct worker *worker, const struct command *command)
{
    struct playback *playback = &worker->playbacks[command->handle & 0xFFFF];
    playback->handle = command->handle;
    playback->slot = command->handle & 0xFFFF;
    playback->pieces = command->play.pieces;
    playback->piece_count = command->play.piece_count;
    playback->once = command->play.once;
    playback->piece = 0;
    playback->position = 0;
    playback->loop = command->play.loop;
    playback->mix = command->play.mix;
    playback->sent_at = 0;
    playback->count = command->play.count;
    slots_add(&worker->playing, playback->slot, &playback->listed);
    for (uint8_t i = 0; i < playback->count; i++)
        listener_start(worker, playback, &playback->listeners[i], command->play.listeners[i]);
    playback->next_at = worker->now + (playback->mix ? playback_patience(worker, playback) : 0);
    if (!playback_heard(playback))
        playback_end(worker, playback, false);
}

void playback_stop(struct worker *worker, uint32_t handle)
{
    struct playback *playback = playback_of(worker, handle);
    if (playback)
        playback_end(worker, playback, false);
}

void playback_leave(struct worker *worker, struct endpoint *endpoint)
{
    if (endpoint->playback == NONE)
        return;
    struct playback *playback = &worker->playbacks[endpoint->playback];
    for (uint8_t i = 0; i < playback->count; i++)
        if (playback->listeners[i].endpoint == endpoint->slot)
            listener_report(worker, playback, &playback->listeners[i], false);
    if (!playback_heard(playback))
        playback_end(worker, playback, false);
}

bool playback_takes(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool event)
{
    struct playback *playback = &worker->playbacks[to->playback];
    if (!playback->mix)
        return true;
    if (event)
        return false;
    for (uint8_t i = 0; i < playback->count; i++)
        if (playback->listeners[i].endpoint == to->slot)
            queue_push(&playback->listeners[i], &to->line, rtp);
    return true;
}

static bool playback_over(const struct playback *playback)
{
    return playback->piece == playback->piece_count;
}

/* Moves on by what was just played; behind the last piece a loop begins again. */
static void playback_advance(struct playback *playback, size_t samples)
{
    playback->position += samples;
    if (playback->position < playback->pieces[playback->piece].length)
        return;
    playback->position = 0;
    if (++playback->piece == playback->piece_count && playback->loop)
        playback->piece = playback->once;
}

/* The next 20 ms, without a seam between the pieces; the end of the last one is padded with silence. */
static void playback_frame(struct playback *playback, uint8_t *frame)
{
    size_t filled = 0;
    while (filled < FRAME_SAMPLES && !playback_over(playback)) {
        const struct piece *piece = &playback->pieces[playback->piece];
        size_t rest = piece->length - playback->position, room = FRAME_SAMPLES - filled;
        size_t count = rest < room ? rest : room;
        memcpy(frame + filled, piece->samples + playback->position, count);
        filled += count;
        playback_advance(playback, count);
    }
    memset(frame + filled, ALAW_SILENCE, FRAME_SAMPLES - filled);
}

/* The prompt over the talk, which ducks for as long as it lasts: down within the first frame, up within the last. */
static void listener_mix(struct listener *listener, const uint8_t *frame, uint8_t *mixed, bool last)
{
    int from = listener->gain, to = last ? FULL_GAIN : DUCKED_GAIN;
    size_t talk = queue_pop(listener, mixed);
    for (int i = 0; i < FRAME_SAMPLES; i++) {
        int gain = from + (to - from) * i / FRAME_SAMPLES;
        int below = (size_t)i < talk ? alaw_added[mixed[i]] * gain / FULL_GAIN : 0;
        mixed[i] = alaw_sum(below + alaw_added[frame[i]]);
    }
    listener->gain = (uint16_t)to;
}

/* Too long for the frames that were due to follow faster. */
static bool playback_stalled(const struct worker *worker, const struct playback *playback)
{
    return worker->now - playback->next_at > GIVE_UP_NS + FRAME_NS;
}

static void listener_send(struct worker *worker, struct playback *playback, struct listener *listener,
                          const uint8_t *frame)
{
    uint8_t mixed[FRAME_SAMPLES];
    struct endpoint *endpoint = &worker->endpoints[listener->endpoint];
    if (playback->mix)
        listener_mix(listener, frame, mixed, playback_over(playback));
    if (!endpoint->line.open)
        return;
    enum source source = playback->mix ? SOURCE_MIX : SOURCE_PROMPT;
    bool begins = !listener->report.frames || playback_stalled(worker, playback);
    listener->report.last_timestamp = line_frame(worker, endpoint, playback->mix ? mixed : frame, source, begins);
    if (!listener->report.frames++)
        listener->report.first_timestamp = listener->report.last_timestamp;
}

static void playback_step(struct worker *worker, struct playback *playback)
{
    uint8_t frame[FRAME_SAMPLES];
    if (playback_over(playback)) {
        playback_end(worker, playback, true);
        return;
    }
    playback_frame(playback, frame);
    recording_prompt(worker, playback, frame, playback->next_at);
    for (uint8_t i = 0; i < playback->count; i++)
        if (playback->listeners[i].endpoint != NONE)
            listener_send(worker, playback, &playback->listeners[i], frame);
    playback->sent_at = worker->now;
    /* After a stall frames follow at twice the speed, never in a burst; a long one moves the grid instead. */
    playback->next_at = (playback_stalled(worker, playback) ? worker->now : playback->next_at) + FRAME_NS;
}

void playback_tick(struct worker *worker)
{
    for (uint32_t i = worker->playing.count; i-- > 0;) {
        struct playback *playback = &worker->playbacks[worker->playing.slot[i]];
        if (worker->now >= playback->next_at && worker->now - playback->sent_at >= LEAST_SPACING_NS)
            playback_step(worker, playback);
    }
}
