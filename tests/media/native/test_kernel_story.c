/* Each story is told twice, once with the kernel's program and once by sockets alone: nobody can tell which it was.
 *
 * The program is that of media/native/bpf, compiled for the host (kernel_program.c).
 */
#include "steps.h"
#include "kernel_calls.h"

#define STORIES 120
#define STEPS 400
#define LOOKS (2 * STEPS)

/* All that the core knows of a call. */
struct look {
    struct endpoint endpoints[2];
    struct totals totals;
    uint32_t sent_count, events, recorded;
};

static struct look looks[LOOKS];
static uint32_t look_count, recorded; /* recorded: a sum over what was to be written */
static bool in_kernel;
static uint32_t kernel_all, socket_all;

/* The kernel's own figures, and what only who reads sockets has, aside. */
static struct look look_now(void)
{
    struct look look;
    memset(&look, 0, sizeof look);
    for (uint32_t slot = 0; slot < 2; slot++)
        kernel_relay_look(&worker, &worker.endpoints[slot]);
    for (uint32_t slot = 0; slot < 2; slot++) {
        memcpy(&look.endpoints[slot], &worker.endpoints[slot], sizeof look.endpoints[slot]);
        memset(&look.endpoints[slot].kernel, 0, sizeof look.endpoints[slot].kernel);
        look.endpoints[slot].arrivals = 0;
    }
    look.totals = worker.totals;
    look.totals.packets_kernel = 0;
    look.sent_count = sent_count;
    look.recorded = recorded;
    look.events = (uint32_t)worker.totals.events;
    return look;
}

#define SAME(what) CHECK(now->what == before->what)

static void same_endpoint(const struct endpoint *now, const struct endpoint *before)
{
    SAME(receiver.highest); SAME(receiver.received); SAME(receiver.received_all); SAME(receiver.lost_before);
    SAME(receiver.transit); SAME(receiver.jitter_q4);
    SAME(line.sequence); SAME(line.timestamp); SAME(line.clock); SAME(line.in_highest); SAME(line.in_timestamp);
    SAME(line.in_at); SAME(line.sent_at); SAME(line.clock_at); SAME(line.packets); SAME(line.octets); SAME(line.relayed);
    SAME(line.sequence_offset); SAME(line.timestamp_offset); SAME(line.duration); SAME(line.in_samples);
    SAME(latch.heard_at); SAME(latch.taken_at); SAME(quiet_from); SAME(due_at); SAME(silent);
    SAME(drops.excess); SAME(drops.strangers); SAME(drops.unusable);
    CHECK(!memcmp(now, before, sizeof *now));
}

static void look(void)
{
    CHECK(look_count < LOOKS);
    struct look now = look_now();
    if (in_kernel) {
        for (uint32_t slot = 0; slot < 2; slot++)
            same_endpoint(&now.endpoints[slot], &looks[look_count].endpoints[slot]);
        CHECK(!memcmp(&now.totals, &looks[look_count].totals, sizeof now.totals));
        CHECK(now.recorded == looks[look_count].recorded);
        CHECK(now.sent_count == looks[look_count].sent_count && now.events == looks[look_count].events);
    } else {
        memcpy(&looks[look_count], &now, sizeof now);
    }
    look_count++;
}

/* What can happen */

static void lose(uint32_t slot)
{
    static const uint16_t numbers[] = {1, 2, 5, 30, 98, 99, 100, 101, 499, 501, 3001};
    uint16_t count = numbers[chance(sizeof numbers / sizeof *numbers)];
    talkers[slot].sequence = (uint16_t)(talkers[slot].sequence + count);
    if (chance(8))
        talkers[slot].timestamp += (uint32_t)count * talkers[slot].samples;
}

static void late(uint32_t slot)
{
    uint16_t back = (uint16_t)(1 + chance(4));
    packet_of(slot, phone(slot), talkers[slot].type, (uint16_t)(talkers[slot].sequence - back),
              talkers[slot].timestamp - (uint32_t)back * talkers[slot].samples, talkers[slot].samples);
}

static void press(uint32_t slot)
{
    uint32_t packets = 1 + chance(4);
    for (uint32_t i = 0; i < packets; i++) {
        uint8_t packet[RTP_HEADER + 4] = {0};
        rtp_write(packet, !i, 101, talkers[slot].sequence++, talkers[slot].timestamp, talkers[slot].ssrc);
        packet[RTP_HEADER] = 5;
        packet[RTP_HEADER + 1] = i + 1 == packets ? 0x8A : 0x0A;
        write16(packet + RTP_HEADER + 2, (uint16_t)(160 * (i + 1)));
        arrive(slot, phone(slot), packet, sizeof packet);
        worker.now += FRAME_NS;
        telephone_event_tick(&worker);
    }
    talkers[slot].timestamp += packets * 160;
}

static void crowd(uint32_t slot)
{
    uint32_t packets = chance(4) ? 2 + chance(20) : 300;
    for (; packets; packets--) {
        worker.now += 100000;
        next_packet(slot);
    }
}

static void pause_for(uint32_t slot)
{
    uint32_t frames = 2 + chance(35);
    worker.now += frames * FRAME_NS;
    if (chance(2))
        talkers[slot].timestamp += frames * 160;
}

static void re_invite(uint32_t slot)
{
    struct remote remote = plain(slot, (uint16_t)(80u * (1 + chance(3))));
    if (chance(2))
        remote.frame = talkers[1 - slot].samples;
    remote.sending = chance(6);
    remote.receiving = chance(6);
    if (!chance(5))
        remote.payload_type = remote.payload_type_in = PCMU;
    agree(slot, &remote);
}

static void prompt(uint32_t slot)
{
    static const uint8_t samples[800] = {1};
    static const struct piece piece = {samples, sizeof samples};
    struct command play = {.type = COMMAND_PLAY, .handle = 1u << 16};
    play.play.pieces = &piece;
    play.play.piece_count = play.play.count = 1;
    play.play.listeners[0] = HANDLE(slot);
    play.play.mix = chance(2);
    if (!worker.playing.count)
        worker_obey(&worker, &play);
}

static void record(void)
{
    struct command record = {.type = COMMAND_RECORD, .handle = 1u << 16, .at = worker.now};
    record.record.left = HANDLE(0);
    record.record.right = HANDLE(1);
    record.record.stereo = record.record.voices = true;
    if (!worker.recording.count) {
        worker_obey(&worker, &record);
        give_file(record.handle, 77);
    } else if (!chance(3)) {
        obey(COMMAND_CLOSE_RECORDING, record.handle);
    }
}

static void write_down(void)
{
    const struct write_request *request;
    recording_tick(&worker);
    for (; (request = ring_peek(&worker.writer.requests)); ring_pop(&worker.writer.requests)) {
        recorded = recorded * 31 + (uint32_t)request->position;
        for (uint32_t i = 0; request->type == WRITE_AUDIO && i < request->length; i++)
            recorded = recorded * 31 + request->audio[i];
    }
}

static void report(uint32_t slot)
{
    uint8_t packet[28] = {0x80, 200, 0, 6};
    write32(packet + 4, talkers[slot].ssrc);
    union address from = rtcp_of(phone(slot));
    endpoint_receive(&worker, slot, true, packet, sizeof packet, &from);
}

static void happen(uint32_t slot)
{
    struct talker *talker = &talkers[slot];
    switch (chance(20)) {
    case 0: case 1: lose(slot); break;
    case 2: late(slot); break;
    case 3: press(slot); break;
    case 4: crowd(slot); break;
    case 5: pause_for(slot); break;
    case 6: re_invite(slot); break;
    case 7: prompt(slot); break;
    case 8: talker->ssrc += 2; break;
    case 9: talker->marker = true; break;
    case 10: talker->timestamp += chance(2) ? 80 : 100000; break;
    case 11: talker->samples = (uint16_t)(80u * (1 + chance(3))); break;
    case 12: packet_of(slot, phone(3), talker->type, talker->sequence, talker->timestamp, talker->samples); break;
    case 13: packet_of(slot, phone(slot), 13, talker->sequence++, talker->timestamp, 1); break;
    case 14: packet_of(slot, phone(slot), 77, talker->sequence, talker->timestamp, 20); break;
    case 15: obey(COMMAND_DISCONNECT, HANDLE(slot)); break;
    case 16: report(slot); break;
    case 17: case 18: record(); break;
    case 19: talker->type = talker->type == PCMA ? PCMU : PCMA; break;
    }
}

static void pass_on_time(void)
{
    worker.now += FRAME_NS - 3000000 + (int64_t)chance(6000000);
    if (worker.endpoints[0].peer == NONE && !chance(10))
        join(HANDLE(0), HANDLE(1));
    telephone_event_tick(&worker);
    playback_tick(&worker);
    write_down();
}

static void story(uint32_t number, bool kernel)
{
    static const uint16_t lengths[] = {160, 160, 80, 240, 480};
    seed = number;
    look_count = recorded = 0;
    copied_at_once = true;
    in_kernel = kernel;
    memset(looks, 0, kernel ? 0 : sizeof looks);
    call_of(lengths[number % 5], kernel);
    worker.silence_ns = number % 9 ? SECOND_NS : SECOND_NS / 4;
    for (uint32_t step = 0; step < STEPS; step++) {
        pass_on_time();
        for (uint32_t slot = 0; slot < 2; slot++)
            next_packet(slot);
        if (!chance(24))
            happen(chance(2));
        if (!chance(5))
            worker_sweep(&worker);
        if (!chance(9))
            look();
    }
    obey(COMMAND_CLOSE, HANDLE(number % 2));
    look();
}

/* RFC 3550 6.4.1: but for the time of day. */
static void same_packet(const struct sent *now, const struct sent *before)
{
    CHECK(now->slot == before->slot && now->rtcp == before->rtcp && now->length == before->length && now->at == before->at);
    CHECK(same_address(&now->to, &before->to));
    for (size_t i = 0; i < now->length; i++)
        CHECK(now->data[i] == before->data[i] || (now->rtcp && now->data[1] == 200 && i >= 8 && i < 16));
}

static void test_nobody_can_tell_who_has_passed_on_what(void)
{
    struct sent *before = malloc(sizeof sent);
    for (uint32_t number = 1; number <= STORIES; number++) {
        story(number, false);
        uint32_t count = sent_count, reached = look_count;
        memcpy(before, sent, sizeof *sent * count);
        call_over();
        story(number, true);
        CHECK(sent_count == count && look_count == reached && count < SENT);
        for (uint32_t i = 0; i < count; i++)
            same_packet(&sent[i], &before[i]);
        kernel_all += by_kernel;
        socket_all += count - by_kernel;
        call_over();
    }
    free(before);
    CHECK(kernel_all > socket_all / 4);
}

int main(void)
{
    test_nobody_can_tell_who_has_passed_on_what();
    puts("ok");
    return 0;
}
