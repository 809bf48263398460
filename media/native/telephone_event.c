/* Keys: RFC 4733 events told once each, made anew for a side that wants them otherwise, heard in the audio of one
 * that sends none, and turned into tones (ITU-T Q.23) for one that takes none.
 *
 * Called by endpoint.c for what arrives and by worker.c each tick. An event that a side would send just so is left to
 * line.c. Never passes on what began before the two sides were connected, nor the sound of it.
 *
 *     in   | 5 0 | 5 160 | 5 320 | 5 480 E | 5 480 E | 5 480 E |         20 ms, payload type 101
 *     out  | 5 0      | 5 240      | 5 480 E    | 5 480 E    | 5 480 E    |   30 ms, payload type 96
 */
#include "core.h"

#include <math.h>
#include <string.h>

#define DIGIT_MEMORY 80000    /* samples within which an older event timestamp is a straggler */
#define STRAGGLERS 100        /* sequence numbers by which a packet comes late, and does not begin a new count */
#define LONGEST_EVENT 0xFFFF /* 2.5.1.3: a longer press goes on in a new segment; in units of the event's clock */
#define END_PACKETS 3         /* 2.5.1.4 */
#define VANISHED_NS (SECOND_NS / 5)
#define BESIDE_NS (3 * FRAME_NS) /* from an event's newest packet on, which the next follows within 50 ms (2.5.1.2) */
#define LEAST_TONE 640        /* 80 ms, so that a detector has it for certain (Q.24: 40 ms) */
#define TONE_AMPLITUDE 9000.0 /* -8 dBm0 each */
#define EVENT_LENGTH 4
#define END_BIT 0x80

static const char digits[] = "0123456789*#ABCD";
static const uint16_t rows[] = {697, 770, 852, 941}, columns[] = {1209, 1336, 1477, 1633};
static const char keypad[] = "123A456B789C*0#D";

/* Told to the controller */

/* 2.5.1: every packet of one press carries the timestamp of its start, so that any of them tells it once. What comes late is
 * known by its sequence number, for the timestamps of a phone that starts its stream anew may step back.
 */
static enum press key_in_judge(struct key_in *key, const struct rtp *rtp, int32_t longest)
{
    if (!key->seen || key->ssrc != rtp->ssrc)
        return PRESS_BEGINS;
    int later = (int16_t)(rtp->sequence - key->sequence);
    if (rtp->timestamp == key->before || (later <= 0 && later > -STRAGGLERS))
        return rtp->timestamp == key->timestamp ? PRESS_GOES_ON : PRESS_STRAYS;
    key->sequence = rtp->sequence;
    int32_t age = (int32_t)(rtp->timestamp - key->timestamp);
    if ((age == longest || age == longest + 1) && key->code == rtp->payload[0]) {
        key->before = key->timestamp;
        key->timestamp = rtp->timestamp;
    }
    return rtp->timestamp == key->timestamp ? PRESS_GOES_ON : PRESS_BEGINS;
}

static void tell_digit(struct worker *worker, const struct endpoint *endpoint, char digit)
{
    struct event *event = worker_event(worker, EVENT_DIGIT, endpoint->handle);
    if (!event)
        return;
    event->digit = digit;
    worker_event_done(worker);
}

static bool keys_are_kept(const struct endpoint *endpoint)
{
    return endpoint->peer == NONE || !endpoint->digits;
}

/* Below a prompt and on hold the peer is sent nothing of them. */
static bool keys_are_hidden(const struct worker *worker, const struct endpoint *endpoint)
{
    if (endpoint->peer == NONE)
        return false;
    const struct endpoint *to = &worker->endpoints[endpoint->peer];
    return !to->line.open || (to->playback != NONE && !worker->playbacks[to->playback].mix);
}

void telephone_event_receive(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp)
{
    struct key_in *key = &endpoint->key_in;
    int32_t longest = LONGEST_EVENT / endpoint->coder.event_scale_in;
    if (rtp->length < EVENT_LENGTH)
        return;
    key->newest = key_in_judge(key, rtp, longest);
    if (key->newest != PRESS_STRAYS)
        key->heard_at = worker->now;
    if (key->newest != PRESS_BEGINS)
        return;
    uint32_t before = key->seen ? key->timestamp : rtp->timestamp - 1;
    *key = (struct key_in){.timestamp = rtp->timestamp, .before = before, .ssrc = rtp->ssrc, .sequence = rtp->sequence,
                           .code = rtp->payload[0], .seen = true, .newest = PRESS_BEGINS, .heard_at = worker->now};
    key->kept = keys_are_kept(endpoint);
    key->hidden = keys_are_hidden(worker, endpoint);
    if (key->code < sizeof digits - 1)
        tell_digit(worker, endpoint, digits[key->code]);
}

void telephone_event_listen(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp)
{
    const int16_t *law = rtp->payload_type == PCMU ? ulaw_linear : alaw_linear;
    struct dtmf *dtmf = &worker->dtmf[endpoint->slot];
    char digit = dtmf_listen(dtmf, rtp->timestamp, rtp->payload, rtp->length, law);
    if (digit)
        tell_digit(worker, endpoint, digit);
    endpoint->key_in.tone_kept = digit ? keys_are_kept(endpoint) : endpoint->key_in.tone_kept && dtmf->pressed;
}

bool telephone_event_sounds(const struct worker *worker, const struct endpoint *from)
{
    const struct key_in *key = &from->key_in;
    return from->event_in < 0 ? key->tone_kept : key->kept && worker->now - key->heard_at < BESIDE_NS;
}

/* Made anew */

/* What was hidden of it does not go out any more, for its time is that of what was heard instead. */
static uint32_t key_hidden(const struct endpoint *from, const struct rtp *rtp)
{
    uint32_t told = read16(rtp->payload + 2);
    return from->key_in.hidden && told > FRAME_SAMPLES ? told - FRAME_SAMPLES : 0;
}

static void key_begin(struct worker *worker, const struct endpoint *from, struct endpoint *to, const struct rtp *rtp, bool tone)
{
    struct key_out *key = &to->key_out;
    struct rtp begins = *rtp;
    if (!key->active)
        slots_add(&worker->keys, to->slot, &key->listed);
    *key = (struct key_out){.active = true, .tone = tone, .listed = key->listed, .code = rtp->payload[0]};
    key->in_ssrc = rtp->ssrc;
    key->in_timestamp = rtp->timestamp;
    key->longest = LONGEST_EVENT / from->coder.event_scale_in;
    key->ends = END_PACKETS;
    key->next_at = worker->now;
    key->segment = key_hidden(from, rtp);
    begins.timestamp += key->segment;
    if (!tone)
        key->timestamp = line_event_begins(worker, to, &begins);
}

void telephone_event_end(struct worker *worker, struct endpoint *to)
{
    struct key_out *key = &to->key_out;
    if (!key->active)
        return;
    uint32_t moved = slots_remove(&worker->keys, key->listed);
    worker->endpoints[moved].key_out.listed = key->listed;
    key->active = false;
}

static void event_send(struct worker *worker, struct endpoint *to)
{
    struct key_out *key = &to->key_out;
    uint8_t payload[] = {key->code, (uint8_t)(key->volume | (key->ended ? END_BIT : 0))};
    uint32_t longest = LONGEST_EVENT / to->coder.event_scale;
    for (; key->duration - key->segment > longest; key->segment += longest)
        key->timestamp += longest;
    line_event(worker, to, payload, key->duration - key->segment, key->timestamp, !key->sent);
    key->sent += to->line.frame;
    if (key->ended && !--key->ends)
        telephone_event_end(worker, to);
}

/* The next press or a prompt has begun, so this one is over: whatever is left of it goes out at once. */
static void event_finish(struct worker *worker, struct endpoint *to)
{
    to->key_out.ended = true;
    while (to->key_out.active && !to->key_out.tone && to->line.open)
        event_send(worker, to);
    telephone_event_end(worker, to);
}

/* Is the packet one of the press that is being made anew? A long one's next segment is (2.5.1.3). */
static bool key_continues(struct key_out *key, const struct rtp *rtp)
{
    if (!key->active || key->in_ssrc != rtp->ssrc || key->code != rtp->payload[0])
        return false;
    uint32_t age = rtp->timestamp - key->in_timestamp;
    if (age == key->longest || age == key->longest + 1) {
        key->in_timestamp = rtp->timestamp;
        key->before += age;
    }
    return key->in_timestamp == rtp->timestamp;
}

static void key_update(struct worker *worker, struct key_out *key, const struct rtp *rtp)
{
    uint32_t duration = key->before + read16(rtp->payload + 2);
    key->volume = rtp->payload[1] & 0x3F;
    key->duration = duration > key->duration ? duration : key->duration;
    key->heard_at = worker->now;
    if (rtp->payload[1] & END_BIT && !key->ended) {
        key->ended = true;
        key->next_at = worker->now; /* the other side need not wait for the end of its packet */
    }
}

/* A straggler of a press that is over. */
static bool key_over(const struct key_out *key, const struct rtp *rtp)
{
    int32_t age = (int32_t)(rtp->timestamp - key->in_timestamp);
    return key->heard_at && key->in_ssrc == rtp->ssrc && age <= 0 && age > -DIGIT_MEMORY;
}

/* It was over when it would have been heard. */
static bool key_missed(const struct endpoint *from, const struct rtp *rtp)
{
    return from->key_in.hidden && rtp->payload[1] & END_BIT;
}

static void key_relay(struct worker *worker, const struct endpoint *from, struct endpoint *to, const struct rtp *rtp,
                      bool tone)
{
    struct key_out *key = &to->key_out;
    enum press press = from->key_in.newest;
    if (press == PRESS_STRAYS)
        return;
    if (!key_continues(key, rtp)) {
        if (press != PRESS_BEGINS && (key_over(key, rtp) || key_missed(from, rtp)))
            return;
        event_finish(worker, to);
        key_begin(worker, from, to, rtp, tone);
    }
    key_update(worker, key, rtp);
}

/* Would `to` be sent the event in the packets it came in? */
static bool event_fits(const struct endpoint *from, const struct endpoint *to, const struct rtp *rtp)
{
    return to->line.event_out == rtp->payload_type && to->line.frame == from->line.frame
           && to->coder.event_scale == from->coder.event_scale_in;
}

/* A prompt or hold ends it. Below a mixed prompt a key that is held goes on, in the packets it comes in. */
static void key_leave(struct worker *worker, struct endpoint *to)
{
    const struct key_out *key = &to->key_out;
    if (key->tone || key->ended || to->playback == NONE || !worker->playbacks[to->playback].mix) {
        event_finish(worker, to);
        return;
    }
    uint32_t hidden = key->segment > key->before ? key->segment - key->before : 0;
    line_keep_key(&to->line, key->in_ssrc, key->in_timestamp, key->timestamp, hidden);
    telephone_event_end(worker, to);
}

/* False: it passes in the packet it came in, as keys do below a mixed prompt. One that began unheard begins anew. */
static bool key_over_mix(struct worker *worker, const struct endpoint *from, struct endpoint *to, const struct rtp *rtp)
{
    bool mix = worker->playbacks[to->playback].mix;
    if (!mix || to->line.event_out < 0 || !from->key_in.hidden || line_has_key(&to->line, rtp))
        return false;
    if (from->key_in.newest == PRESS_STRAYS || key_missed(from, rtp))
        line_skip(worker, to, rtp);
    else
        line_event_shows(worker, to, rtp, key_hidden(from, rtp));
    return true;
}

bool telephone_event_relay(struct worker *worker, const struct endpoint *from, struct endpoint *to, const struct rtp *rtp)
{
    bool tone = to->line.event_out < 0, goes_on = !to->key_out.active && line_has_key(&to->line, rtp);
    if (!to->line.open || rtp->length < EVENT_LENGTH)
        return false;
    if (to->playback != NONE && to->key_out.active)
        key_leave(worker, to);
    if (to->playback != NONE)
        return key_over_mix(worker, from, to, rtp);
    if (!tone && (goes_on || (!from->key_in.hidden && event_fits(from, to, rtp))))
        return false;
    if (!tone || rtp->payload[0] < sizeof digits - 1)
        key_relay(worker, from, to, rtp, tone);
    line_skip(worker, to, rtp);
    return true;
}

/* Tones in the place of the talk */

static void tone_frame(const struct key_out *key, uint8_t *frame)
{
    size_t place = (size_t)(strchr(keypad, digits[key->code]) - keypad);
    double low = 2 * M_PI * rows[place / 4] / 8000, high = 2 * M_PI * columns[place % 4] / 8000;
    for (uint32_t i = 0; i < FRAME_SAMPLES; i++) {
        double n = key->sent + i;
        frame[i] = alaw_encode((int)(TONE_AMPLITUDE * (sin(low * n) + sin(high * n))));
    }
}

static void tone_send(struct worker *worker, struct endpoint *to)
{
    struct key_out *key = &to->key_out;
    uint8_t frame[FRAME_SAMPLES];
    if (key->ended && key->sent >= LEAST_TONE && key->sent >= key->duration - key->segment) {
        telephone_event_end(worker, to);
        return;
    }
    tone_frame(key, frame);
    line_frame(worker, to, frame, SOURCE_PROMPT, !key->sent);
    key->sent += FRAME_SAMPLES;
}

static void key_tick(struct worker *worker, struct endpoint *to)
{
    struct key_out *key = &to->key_out;
    if (!to->line.open || to->playback != NONE) {
        key_leave(worker, to);
        return;
    }
    if (worker->now - key->heard_at > VANISHED_NS)
        key->ended = true; /* its end was lost, all three times */
    if (worker->now < key->next_at)
        return;
    key->next_at += (key->tone ? FRAME_SAMPLES : to->line.frame) * SAMPLE_NS;
    if (key->tone)
        tone_send(worker, to);
    else
        event_send(worker, to);
}

void telephone_event_tick(struct worker *worker)
{
    for (uint32_t i = worker->keys.count; i-- > 0;)
        key_tick(worker, &worker->endpoints[worker->keys.slot[i]]);
}
