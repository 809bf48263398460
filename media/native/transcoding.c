/* Far ends that speak no G.711: what they send becomes A-law of 8 kHz before anything else sees it, what they are sent
 * becomes their codec's on the way out. Between two that speak the same, packets pass as they came.
 *
 * Called by endpoint.c and line.c. Never makes a packet wait for an earlier one: audio that comes late is left out, and
 * a short loss is filled where the codec knows how, as if its packets had come.
 */
#include "core.h"

#include <string.h>

#define FILLED_PACKETS 3    /* of a loss: a longer one is an interruption */
#define FORGIVEN_LATENESS 500 /* sequence numbers: further back the source has begun anew */
#define ALIGNMENT 64
#define OPUS_SCALE 6 /* of the one other clock that events have beside 8 kHz */

static const struct codec *const codecs[] = {
#ifdef HAVE_G722
    &codec_g722,
#endif
#ifdef HAVE_OPUS
    &codec_opus,
#endif
    NULL,
};

const char *codec_name(int index)
{
    return codecs[index] ? codecs[index]->name : NULL;
}

const struct codec *codec_named(const char *name)
{
    for (size_t i = 0; codecs[i]; i++)
        if (!strcmp(codecs[i]->name, name))
            return codecs[i];
    return NULL;
}

/* States */

static size_t aligned(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Of the largest, for any of them. Pages that no call has used take no memory. */
size_t coder_size(void)
{
    size_t most = ALIGNMENT;
    for (size_t i = 0; codecs[i]; i++) {
        size_t size = aligned(codecs[i]->decoder_size()) + aligned(codecs[i]->encoder_size());
        most = size > most ? size : most;
    }
    return most;
}

static void coder_begin(struct worker *worker, struct endpoint *endpoint, const struct codec *codec)
{
    struct coder *coder = &endpoint->coder;
    *coder = (struct coder){.codec = codec, .scale = codec_scale(codec)};
    /* Its clock may be another one now, though its SSRC is not. */
    endpoint->receiver.timed = false;
    if (endpoint->recording != NONE)
        worker->recordings[endpoint->recording].timelines[endpoint->side].set = false;
    if (!codec)
        return;
    coder->decoder = worker->coders + endpoint->slot * coder_size();
    coder->encoder = (uint8_t *)coder->decoder + aligned(codec->decoder_size());
    codec->decoder_init(coder->decoder);
    codec->encoder_init(coder->encoder);
}

void coder_configure(struct worker *worker, struct endpoint *endpoint, const struct remote *remote)
{
    struct coder *coder = &endpoint->coder;
    if (coder->codec != remote->codec)
        coder_begin(worker, endpoint, remote->codec);
    coder->type_in = remote->payload_type_in;
    coder->event_scale = coder->event_scale_in = remote->event_scale ? remote->event_scale : 1;
    coder->event_other = remote->event_other;
    if (coder->codec)
        coder->codec->encoder_tune(coder->encoder, &remote->tuning);
}

/* Reception */

bool coder_understands(const struct coder *coder, struct rtp *rtp)
{
    if (rtp->payload_type != coder->type_in)
        return true;
    int samples = coder->codec->samples(rtp->payload, rtp->length);
    rtp->samples = (uint16_t)samples;
    rtp->codec = coder->codec;
    return samples > 0;
}

/* A timestamp in samples. The remainder of what is no whole sample is kept, and nothing jumps where either wraps. */
static uint32_t coder_time(struct coder *coder, const struct rtp *rtp)
{
    if (!coder->timed || coder->ssrc != rtp->ssrc) {
        coder->timed = true;
        coder->heard = false;
        coder->ssrc = rtp->ssrc;
        coder->wire = rtp->timestamp;
        coder->time = rtp->timestamp / coder->scale;
    }
    int32_t distance = (int32_t)(rtp->timestamp - coder->wire);
    int32_t steps = distance / coder->scale - (distance % coder->scale < 0);
    if (steps > 0) {
        coder->wire += (uint32_t)steps * coder->scale;
        coder->time += (uint32_t)steps;
        return coder->time;
    }
    return coder->time + (uint32_t)steps;
}

void coder_clock(struct coder *coder, struct rtp *rtp, bool event)
{
    if (coder->codec)
        rtp->timestamp = coder_time(coder, rtp);
    if (!event)
        return;
    bool other = rtp->payload_type == coder->event_other;
    coder->event_scale_in = other ? (uint8_t)(1 + OPUS_SCALE - coder->event_scale) : coder->event_scale;
    if (coder->event_scale_in != 1 && rtp->length >= 4)
        write16(rtp->payload + 2, read16(rtp->payload + 2) / coder->event_scale_in);
}

static void coder_tell(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp, const int16_t *samples,
                       int count, bool relayed)
{
    uint8_t codes[MAX_DECODED];
    for (int i = 0; i < count; i++)
        codes[i] = alaw_encode(samples[i]);
    struct rtp voice = *rtp;
    voice.payload = codes;
    voice.length = (size_t)count;
    voice.samples = (uint16_t)count;
    voice.payload_type = PCMA;
    voice.codec = NULL;
    voice.made = true;
    endpoint_voice(worker, endpoint, &voice, relayed);
    endpoint->coder.sequence = rtp->sequence;
    endpoint->coder.until = rtp->timestamp + (uint32_t)count;
    endpoint->coder.heard = true;
}

/* Packets lost between the newest one and this are made up where they can only have been as long as it. */
static void coder_fill(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp, bool relayed)
{
    struct coder *coder = &endpoint->coder;
    int16_t samples[MAX_DECODED];
    int missing = (int16_t)(rtp->sequence - coder->sequence) - 1;
    bool filled = coder->heard && coder->codec->conceal && missing <= FILLED_PACKETS
                  && rtp->timestamp - coder->until == (uint32_t)missing * rtp->samples;
    struct rtp lost = *rtp;
    lost.marker = false;
    for (; filled && missing > 0; missing--) {
        lost.sequence = (uint16_t)(rtp->sequence - missing);
        lost.timestamp = rtp->timestamp - (uint32_t)missing * rtp->samples;
        const uint8_t *next = missing == 1 ? rtp->payload : NULL;
        int count = coder->codec->conceal(coder->decoder, next, next ? rtp->length : 0, samples, rtp->samples);
        filled = count == rtp->samples;
        if (filled)
            coder_tell(worker, endpoint, &lost, samples, count, relayed);
    }
}

static bool coder_decode(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp, bool relayed)
{
    struct coder *coder = &endpoint->coder;
    int16_t samples[MAX_DECODED];
    int ahead = (int16_t)(rtp->sequence - coder->sequence);
    if (coder->heard && ahead <= 0 && ahead > -FORGIVEN_LATENESS)
        return true; /* what followed it has been heard already */
    coder_fill(worker, endpoint, rtp, relayed);
    int count = coder->codec->decode(coder->decoder, rtp->payload, rtp->length, samples);
    if (count > 0)
        coder_tell(worker, endpoint, rtp, samples, count, relayed);
    return count > 0;
}

/* May the peer be sent the packet as it came? */
static bool coder_passes(const struct worker *worker, const struct endpoint *endpoint, const struct rtp *rtp)
{
    if (endpoint->peer == NONE)
        return false;
    const struct endpoint *to = &worker->endpoints[endpoint->peer];
    return to->coder.codec == rtp->codec && to->line.frame == rtp->samples && to->playback == NONE
           && !(to->key_out.active && to->key_out.tone) && !telephone_event_sounds(worker, endpoint);
}

bool coder_receive(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp)
{
    bool passes = coder_passes(worker, endpoint, rtp), sound = true;
    if (!passes || endpoint->recording != NONE || endpoint->event_in < 0)
        sound = coder_decode(worker, endpoint, rtp, passes);
    else
        endpoint->coder.heard = false; /* what is decoded next follows upon nothing */
    if (sound && passes) {
        struct endpoint *to = &worker->endpoints[endpoint->peer];
        packing_flush(worker, to); /* of an earlier one, which was of another length */
        line_relay(worker, to, rtp, false);
    }
    return sound;
}

/* Sending */

size_t coder_encode(const struct coder *coder, const uint8_t *alaw, size_t count, uint8_t *payload)
{
    int16_t samples[MAX_PAYLOAD];
    for (size_t i = 0; i < count; i++)
        samples[i] = alaw_linear[alaw[i]];
    return coder->codec->encode(coder->encoder, samples, (int)count, payload);
}
