/* Fuzz target: one input is a story of packets (RTP, RTCP, telephone-event) and commands for two connected endpoints.
 *
 * With libFuzzer: tests/media/native/fuzz.py. Without it main() below plays the inputs that it is given and mutations of
 * them (RUNS of each). The sanitizers judge, and what is sent must be RTP or RTCP of ours. An input is a sequence of
 * records: what happens (1 byte), how much time has passed (1 byte, ms), length (1 byte), so many bytes.
 */
#include "steps.h"

#define RUNS 1000

enum { SLOT = 1, RTCP = 2, ELSEWHERE = 4, WHOLE = 8, STUCK = 16, SEALED = 32, CODED = 64, COMMAND = 0x80 };

#define CODED_TYPE 111

static struct srtp_context *far_ends[2]; /* what the phones protect their packets with */
static const uint8_t prompt[] = {1, 2, 3, 4, 5, 6, 7};
static const struct piece pieces[] = {{prompt, 7}, {prompt, 1}, {prompt, 3}};

/* One playback at a time, to either, both or one twice; what the other slots play is not looked for. */
static void play(uint8_t how)
{
    struct command command = {.type = COMMAND_PLAY, .handle = 1u << 16};
    command.play.pieces = pieces;
    command.play.piece_count = 3;
    command.play.once = how >> 2 & 1;
    command.play.loop = how & 1;
    command.play.mix = how & 2;
    command.play.count = 2;
    command.play.listeners[0] = how & 8 ? 0 : 1u << 16 | (how >> 4 & 1);
    command.play.listeners[1] = how & 32 ? 0 : 1u << 16 | (how >> 6 & 1);
    if (!worker.playbacks[0].handle)
        worker_obey(&worker, &command);
}

static void record(uint8_t how)
{
    struct command command = {.type = COMMAND_RECORD, .handle = 1u << 16 | (how & 1), .at = worker.now};
    command.record.left = how & 8 ? 0 : 1u << 16 | (how >> 4 & 1);
    command.record.right = how & 32 ? 0 : 1u << 16 | (how >> 6 & 1);
    command.record.stereo = how & 2;
    command.record.voices = how & 4;
    command.record.elapsed = how & 128 ? 1234567 * SAMPLE_NS : 0;
    if (!worker.recordings[how & 1].handle)
        worker_obey(&worker, &command);
    if (!(how & 64)) /* else it comes later, or never */
        give_file(command.handle, how & 16 ? 77 : -1);
}

/* By one of the suites that there are, or none; `how` also chooses one of two keys. */
static void protect(struct remote *remote, uint32_t slot, uint8_t how)
{
    static const uint8_t keys[2][44] = {{1}, {2}};
    uint32_t count = 0;
    while (srtp_suite((int)count))
        count++;
    const char *suite = srtp_suite((int)((how >> 1) % (count + 1)));
    if (!suite)
        return;
    size_t length = suite[1] == 'E' && suite[2] == 'A' ? 44 : 30;
    remote->srtp_in = srtp_context_create(suite, keys[how & 1], length, false);
    remote->srtp_out = srtp_context_create(suite, keys[how & 1], length, true);
    srtp_context_free(far_ends[slot]);
    far_ends[slot] = srtp_context_create(suite, keys[how & 1], length, true);
}

/* In one of the codecs that there are, or G.711. */
static void encode(struct remote *remote, uint8_t how)
{
    uint32_t count = 0;
    while (codec_name((int)count))
        count++;
    const char *name = codec_name((int)((how >> 2) % (count + 1)));
    if (!name)
        return;
    remote->codec = codec_named(name);
    remote->payload_type = remote->payload_type_in = CODED_TYPE;
    remote->event_scale = how & 1 ? 6 : 1;
    remote->tuning = (struct tuning){1000u * (how >> 4), how & 2, how & 4, how & 8};
    remote->event_other = how & 16 ? 104 : 0;
}

static void command(uint8_t what, uint32_t slot, const uint8_t *data, size_t length)
{
    struct command command = {.type = COMMAND_CONFIGURE, .handle = 1u << 16 | slot};
    uint8_t first = length ? data[0] : 0;
    switch (what & 7) {
    case 0: /* another agreement */
        command.remote = remote_at(phone(first & 1 ? slot : slot + 4), first & 2 ? PCMA : PCMU, first & 4 ? 101 : -1);
        command.remote.frame = (uint16_t)(80 * (1 + (first >> 3) % 6));
        command.remote.announced.nat = first & 64;
        command.remote.announced.mux = first & 128;
        if (length > 1)
            protect(&command.remote, slot, data[1]);
        if (length > 2)
            encode(&command.remote, data[2]);
        break;
    case 1:
        command.type = COMMAND_CONNECT;
        command.connect.other = 1u << 16 | !slot;
        command.connect.digits = first & 1;
        break;
    case 2:
        command.type = COMMAND_DISCONNECT;
        command.connect.other = 1u << 16 | !slot;
        break;
    case 3: play(first); return;
    case 4:
        command.type = COMMAND_STOP_PLAY;
        command.handle = 1u << 16;
        break;
    case 5: record(first); return;
    case 6:
        command.type = first & 2 ? COMMAND_VOICES : COMMAND_CLOSE_RECORDING;
        command.handle = 1u << 16 | (first & 1);
        command.at = worker.now;
        break;
    case 7:
        command.type = COMMAND_CLOSE;
        worker_obey(&worker, &command);
        open_endpoint(slot, PCMA, 101);
        return;
    }
    worker_obey(&worker, &command);
}

/* A record's bytes as they are, or behind a header that will be taken. */
static void packet(uint8_t what, uint32_t slot, const uint8_t *data, size_t length, uint16_t number)
{
    uint8_t *whole = malloc(RTP_HEADER + length + 1 + SRTP_ROOM);
    size_t before = what & WHOLE ? 0 : RTP_HEADER;
    union address from = phone(what & ELSEWHERE ? 9 : slot);
    if (what & RTCP)
        from = rtcp_of(from);
    uint8_t voice = what & CODED ? CODED_TYPE : length & 2 ? PCMA : PCMU;
    uint32_t clock = what & CODED ? worker.endpoints[slot].coder.scale : 1;
    memcpy(whole + before, data, length);
    if (before)
        rtp_write(whole, length & 1, length == 4 ? 101 : voice, number, 160u * clock * number, 7);
    length += before;
    if (what & SEALED && far_ends[slot])
        srtp_seal(far_ends[slot], what & RTCP, whole, &length);
    endpoint_receive(&worker, slot, what & RTCP, whole, length, &from);
    free(whole);
}

static void check_sent(void)
{
    for (uint32_t i = 0; i < sent_count && i < SENT; i++)
        CHECK(sent[i].length >= (sent[i].rtcp ? 8 : RTP_HEADER) && sent[i].data[0] >> 6 == 2);
    sent_count = 0;
}

static void tick(bool stuck)
{
    telephone_event_tick(&worker);
    playback_tick(&worker);
    recording_tick(&worker);
    worker_sweep(&worker);
    if (!stuck) /* else the disk stands still */
        drain_writer();
}

/* Nothing of the story is left. */
static void check_over(void)
{
    drain_writer();
    worker.now += SECOND_NS;
    recording_tick(&worker);
    drain_writer();
    worker.now += SECOND_NS;
    recording_tick(&worker);
    drain_writer();
    CHECK(!worker.open.count && !worker.playing.count && !worker.recording.count && !worker.keys.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started; /* the pools are made once: they take longer than a story */
    if (!started)
        srtp_set_up(), start();
    started = true;
    uint32_t a = open_endpoint(0, PCMA, 101), b = open_endpoint(1, PCMU, 96);
    join(a, b);
    for (uint16_t number = 0; size >= 3; number++) {
        uint8_t what = data[0];
        size_t length = data[2] < size - 3 ? data[2] : size - 3;
        worker.now += data[1] * 1000000LL;
        if (what & COMMAND)
            command(what, what >> 6 & SLOT, data + 3, length);
        else
            packet(what, what & SLOT, data + 3, length, number);
        tick(what & STUCK);
        count_events(EVENT_CLOSED);
        data += 3 + length;
        size -= 3 + length;
    }
    recording_give_up_files(&worker);
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = a});
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = b});
    count_events(EVENT_CLOSED);
    for (int slot = 0; slot < 2; slot++) {
        srtp_context_free(far_ends[slot]);
        far_ends[slot] = NULL;
    }
    check_over();
    check_sent();
    return 0;
}

#ifndef LIBFUZZER
static size_t mutated(const uint8_t *from, size_t size, uint8_t *to)
{
    memcpy(to, from, size);
    for (uint32_t changes = 1 + chance(8); changes && size; changes--)
        to[chance((uint32_t)size)] = (uint8_t)chance(256);
    return size - (size && !chance(4) ? chance((uint32_t)size) : 0);
}

int main(int argc, char **argv)
{
    static uint8_t input[65536], other[65536];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        CHECK(file);
        size_t size = fread(input, 1, sizeof input, file);
        fclose(file);
        LLVMFuzzerTestOneInput(input, size);
        for (int run = 0; run < RUNS; run++)
            LLVMFuzzerTestOneInput(other, mutated(input, size, other));
    }
    finish();
    puts("ok");
    return 0;
}
#endif
