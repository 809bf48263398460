/* Fuzz target: one input is a story of packets (RTP, RTCP, telephone-event) and commands for two connected endpoints.
 *
 * With libFuzzer: tests/media/native/fuzz.py. Without it main() below plays the inputs that it is given and mutations of
 * them (RUNS of each). The sanitizers judge, and what is sent must be RTP or RTCP of ours. An input is a sequence of
 * records: what happens (1 byte), how much time has passed (1 byte, ms), length (1 byte), so many bytes.
 */
#include "steps.h"

#define RUNS 1000

enum { SLOT = 1, RTCP = 2, ELSEWHERE = 4, WHOLE = 8, COMMAND = 0x80 };

static void command(uint8_t what, uint32_t slot, const uint8_t *data, size_t length)
{
    struct command command = {.type = COMMAND_CONFIGURE, .handle = 1u << 16 | slot};
    uint8_t first = length ? data[0] : 0;
    switch (what & 7) {
    case 0: /* another agreement */
        command.remote = remote_at(phone(first & 1 ? slot : slot + 4), first & 2 ? PCMA : PCMU, first & 4 ? 101 : -1);
        command.remote.frame = (uint16_t)(80 * (1 + (first >> 3) % 6));
        command.remote.nat = first & 64;
        command.remote.mux = first & 128;
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
    default: return;
    }
    worker_obey(&worker, &command);
}

/* A record's bytes as they are, or behind a header that will be taken. */
static void packet(uint8_t what, uint32_t slot, const uint8_t *data, size_t length, uint16_t number)
{
    uint8_t *whole = malloc(RTP_HEADER + length + 1);
    size_t before = what & WHOLE ? 0 : RTP_HEADER;
    union address from = phone(what & ELSEWHERE ? 9 : slot);
    if (what & RTCP)
        from = rtcp_of(from);
    memcpy(whole + before, data, length);
    if (before)
        rtp_write(whole, length & 1, length == 4 ? 101 : length & 2 ? PCMA : PCMU, number, 160u * number, 7);
    endpoint_receive(&worker, slot, what & RTCP, whole, before + length, &from);
    free(whole);
}

static void check_sent(void)
{
    for (uint32_t i = 0; i < sent_count && i < SENT; i++)
        CHECK(sent[i].length >= (sent[i].rtcp ? 8 : RTP_HEADER) && sent[i].data[0] >> 6 == 2);
    sent_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started; /* the pools are made once: they take longer than a story */
    if (!started)
        start();
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
        playback_tick(&worker);
        worker_sweep(&worker);
        count_events(EVENT_CLOSED);
        data += 3 + length;
        size -= 3 + length;
    }
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = a});
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = b});
    count_events(EVENT_CLOSED);
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
