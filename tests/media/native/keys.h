/* What the tests of keys share: a phone that talks and presses, and what of it the other side is sent.
 *
 * Included by test_telephone_event.c and test_hidden_keys.c, behind steps.h.
 */
#ifndef KEYS_H
#define KEYS_H

#include <math.h>

#define VOLUME 10

static uint32_t a, b;
static uint16_t sequence;
static uint32_t timestamp;

/* Anna (endpoint 0, events as 101) and bert, who are connected. */
static void call(int event_out, uint16_t frame)
{
    start();
    a = open_endpoint(0, PCMA, 101);
    b = open_endpoint(1, PCMA, event_out);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = b};
    configure.remote = remote_at(phone(1), PCMA, event_out);
    configure.remote.frame = frame;
    worker_obey(&worker, &configure);
    join(a, b);
    sequence = 65500;
    timestamp = 0xFFFFF000u;
}

static void pass_time(int64_t ms)
{
    for (int64_t end = worker.now + ms * 1000000; worker.now < end; worker.now += TICK_NS) {
        telephone_event_tick(&worker);
        playback_tick(&worker);
    }
}

static void talk(uint32_t frames, uint8_t code)
{
    uint8_t payload[FRAME_SAMPLES];
    memset(payload, code, sizeof payload);
    for (; frames; frames--, timestamp += FRAME_SAMPLES) {
        give(0, PCMA, sequence++, timestamp, payload, sizeof payload);
        pass_time(20);
    }
}

static void event_packet(uint8_t code, uint16_t duration, bool end)
{
    uint8_t payload[4] = {code, (uint8_t)((end ? 0x80 : 0) | VOLUME)};
    write16(payload + 2, duration);
    give(0, 101, sequence++, timestamp, payload, sizeof payload);
}

/* A press in packets of 20 ms with three at its end, as RFC 4733 2.5.1.4 has it. */
static void press(uint8_t code, uint16_t duration)
{
    for (uint16_t so_far = FRAME_SAMPLES; so_far < duration; so_far = (uint16_t)(so_far + FRAME_SAMPLES)) {
        event_packet(code, so_far, false);
        pass_time(20);
    }
    for (int i = 0; i < 3; i++)
        event_packet(code, duration, true);
    pass_time(20);
    timestamp += duration;
}

static uint8_t sent_type(uint32_t index)
{
    return sent[index].data[1] & 0x7F;
}

static bool sent_marker(uint32_t index)
{
    return sent[index].data[1] & 0x80;
}

static uint16_t sent_duration(uint32_t index)
{
    return read16(sent[index].data + RTP_HEADER + 2);
}

static bool sent_end(uint32_t index)
{
    return sent[index].data[RTP_HEADER + 1] & 0x80;
}

/* First of the packets of `type` from `from` on. */
static uint32_t find(uint8_t type, uint32_t from)
{
    while (from < sent_count && sent_type(from) != type)
        from++;
    return from;
}

static void check_one_line(void)
{
    for (uint32_t i = 1; i < sent_count; i++)
        CHECK((uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1 && read32(sent[i].data + 8) == 101);
}

static char heard_digits[32];

/* The keys that a detector hears in the audio sent. */
static const char *heard(void)
{
    struct dtmf dtmf = {.filled = 0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < sent_count; i++) {
        if (sent_type(i) != PCMA)
            continue;
        char key = dtmf_listen(&dtmf, sent_timestamp(i), sent[i].data + RTP_HEADER, sent[i].length - RTP_HEADER, alaw_linear);
        if (key)
            heard_digits[count++] = key;
    }
    heard_digits[count] = 0;
    return heard_digits;
}

#endif
