/* RFC 3550 6, appendices A.3, A.7 and A.8: reception figures, reports in both directions, and when they are due. */
#include <time.h>

#include "core.h"

#define SENDER_REPORT 200
#define RECEIVER_REPORT 201
#define SOURCE_DESCRIPTION 202
#define GOODBYE 203
#define REPORT_NS (5 * SECOND_NS)
#define COMPENSATION 1218 /* thousandths: e - 3/2, RFC 3550 6.3.1 */
#define MAX_MISORDER 3000
#define MAX_DELAY 16000 /* samples that a packet may be later than the one before; more is another clock */
#define REPORT_BLOCK 24
#define NTP_EPOCH 2208988800u /* 1970 in seconds since 1900 */

/* Reception */

static int64_t stream_lost(const struct receiver *receiver)
{
    if (!receiver->started)
        return 0;
    return (int64_t)receiver->highest - receiver->base + 1 - receiver->received;
}

int64_t receiver_lost(const struct receiver *receiver)
{
    return receiver->lost_before + stream_lost(receiver);
}

double receiver_jitter_ms(const struct receiver *receiver)
{
    return (receiver->jitter_q4 >> 4) / 8.0;
}

static void receiver_restart(struct receiver *receiver, const struct rtp *rtp)
{
    receiver->lost_before += stream_lost(receiver);
    receiver->ssrc = rtp->ssrc;
    receiver->base = receiver->highest = 0x10000u | rtp->sequence;
    receiver->received = receiver->expected_prior = receiver->received_prior = 0;
    receiver->timed = false;
    receiver->started = true;
}

void receiver_update(struct receiver *receiver, const struct rtp *rtp, bool event, int64_t now)
{
    int delta = (int16_t)(rtp->sequence - (uint16_t)receiver->highest);
    if (!receiver->started || receiver->ssrc != rtp->ssrc || delta > MAX_MISORDER || delta < -MAX_MISORDER) {
        receiver_restart(receiver, rtp);
        delta = 0;
    }
    if (delta > 0)
        receiver->highest += (uint32_t)delta;
    receiver->received++;
    receiver->received_all++;
    if (event)
        return;
    uint32_t transit = (uint32_t)(now / SAMPLE_NS) - rtp->timestamp;
    if (receiver->timed) {
        uint32_t change = transit - receiver->transit, size = change >> 31 ? 0 - change : change;
        if (size <= MAX_DELAY)
            receiver->jitter_q4 += size - ((receiver->jitter_q4 + 8) >> 4);
    }
    receiver->transit = transit;
    receiver->timed = true;
}

/* Sending reports */

static uint64_t ntp_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    uint64_t fraction = ((uint64_t)time.tv_nsec << 32) / (uint64_t)SECOND_NS;
    return ((uint64_t)(uint32_t)(time.tv_sec + NTP_EPOCH) << 32) | fraction;
}

/* Units of RFC 3550 6.4.1 (DLSR): 65536ths of a second. */
static uint32_t short_time(int64_t ns)
{
    return (uint32_t)(ns / SECOND_NS * 65536 + ns % SECOND_NS * 65536 / SECOND_NS);
}

static void build_block(struct receiver *receiver, uint8_t *p, uint8_t scale, int64_t now)
{
    uint32_t expected = receiver->highest - receiver->base + 1;
    uint32_t expected_now = expected - receiver->expected_prior;
    int32_t lost_now = (int32_t)(expected_now - (receiver->received - receiver->received_prior));
    int64_t lost = stream_lost(receiver);
    receiver->expected_prior = expected;
    receiver->received_prior = receiver->received;
    write32(p, receiver->ssrc);
    write32(p + 4, (uint32_t)(lost > 0x7FFFFF ? 0x7FFFFF : lost < -0x800000 ? -0x800000 : lost) & 0xFFFFFF);
    /* Below 1, as the packet that made them expected has come. */
    p[4] = lost_now > 0 ? (uint8_t)((uint64_t)lost_now * 256 / expected_now) : 0;
    write32(p + 8, receiver->highest - 0x10000u);
    write32(p + 12, (receiver->jitter_q4 >> 4) * scale);
    bool told = receiver->sender_report && receiver->sender_report_of == receiver->ssrc;
    write32(p + 16, told ? receiver->sender_report : 0);
    write32(p + 20, told ? short_time(now - receiver->sender_report_at) : 0);
}

static size_t build_sender_info(const struct line *line, uint8_t *p, uint8_t scale, int64_t now)
{
    uint64_t ntp = ntp_now();
    write32(p, (uint32_t)(ntp >> 32));
    write32(p + 4, (uint32_t)ntp);
    write32(p + 8, (line->clock + (uint32_t)((now - line->clock_at) / SAMPLE_NS)) * scale);
    write32(p + 12, (uint32_t)line->packets);
    write32(p + 16, (uint32_t)line->octets);
    return 20;
}

/* RFC 7022 4.2: a random CNAME of one call, which tells nobody who we are. */
static size_t build_description(uint32_t ssrc, uint64_t cname, uint8_t *p)
{
    static const char digits[] = "0123456789abcdef";
    p[0] = 0x81;
    p[1] = SOURCE_DESCRIPTION;
    write16(p + 2, 6);
    write32(p + 4, ssrc);
    p[8] = 1;
    p[9] = 16;
    for (int i = 0; i < 16; i++)
        p[10 + i] = (uint8_t)digits[cname >> (4 * i) & 15];
    p[26] = p[27] = 0;
    return 28;
}

/* RFC 3550 6.4: a sender report only from who has sent something since the last report but one. */
static size_t build_report(struct endpoint *endpoint, uint8_t *packet, int64_t now)
{
    const struct line *line = &endpoint->line;
    bool sent = line->packets > 0 && now - line->sent_at < 2 * REPORT_NS, heard = endpoint->receiver.started;
    size_t length = 8;
    if (sent)
        length += build_sender_info(line, packet + length, endpoint->coder.scale, now);
    if (heard) {
        build_block(&endpoint->receiver, packet + length, endpoint->coder.scale, now);
        length += REPORT_BLOCK;
    }
    packet[0] = (uint8_t)(0x80 | heard);
    packet[1] = sent ? SENDER_REPORT : RECEIVER_REPORT;
    write16(packet + 2, (uint16_t)(length / 4 - 1));
    write32(packet + 4, line->ssrc);
    return length + build_description(line->ssrc, endpoint->cname, packet + length);
}

static size_t build_goodbye(uint32_t ssrc, uint8_t *p)
{
    p[0] = 0x81;
    p[1] = GOODBYE;
    write16(p + 2, 1);
    write32(p + 4, ssrc);
    return 8;
}

/* A compound packet of at most 88 bytes, once there is something to tell and somewhere to send it. */
static void send_report(struct worker *worker, struct endpoint *endpoint, bool leaves)
{
    const struct latch *latch = &endpoint->latch;
    if (latch->held || !latch->announced.any.sa_family || !(endpoint->line.packets || endpoint->receiver.started))
        return;
    uint8_t *packet = io_scratch(worker->io);
    size_t length = build_report(endpoint, packet, worker->now);
    if (leaves)
        length += build_goodbye(endpoint->line.ssrc, packet + length);
    if (!endpoint->srtp_out || srtp_seal(endpoint->srtp_out, true, packet, &length))
        io_send(worker->io, endpoint->slot, !latch->mux, packet, length, &latch->rtcp_from);
}

void rtcp_report(struct worker *worker, struct endpoint *endpoint)
{
    send_report(worker, endpoint, false);
}

void rtcp_leave(struct worker *worker, struct endpoint *endpoint)
{
    send_report(worker, endpoint, true);
}

/* xorshift64: spreads reports and makes SSRCs; what it began with came from the system's generator. */
uint64_t rtcp_random(struct endpoint *endpoint)
{
    endpoint->random ^= endpoint->random << 13;
    endpoint->random ^= endpoint->random >> 7;
    endpoint->random ^= endpoint->random << 17;
    return endpoint->random;
}

/* RFC 3550 6.2 and 6.3.1 for two members: half to one and a half of five seconds, the first time of half of that. */
int64_t rtcp_interval(struct endpoint *endpoint, bool first)
{
    int64_t least = first ? REPORT_NS / 2 : REPORT_NS;
    int64_t random = least / 2 + (int64_t)(rtcp_random(endpoint) % (uint64_t)least);
    return random / COMPENSATION * 1000;
}

/* Receiving reports */

static void read_block(struct endpoint *endpoint, const uint8_t *p)
{
    if (read32(p) != endpoint->line.ssrc)
        return;
    endpoint->remote_lost = endpoint->remote_lost_before + ((int32_t)(read32(p + 4) << 8) >> 8);
    endpoint->remote_jitter_ms = read32(p + 12) / 8.0 / endpoint->coder.scale;
    endpoint->reported = true;
    uint32_t sender_report = read32(p + 16);
    uint32_t round_trip = (uint32_t)(ntp_now() >> 16) - sender_report - read32(p + 20);
    if (sender_report && round_trip < 10 * 65536)
        endpoint->round_trip_ms = round_trip * 1000.0 / 65536;
}

static void read_report(struct endpoint *endpoint, const uint8_t *p, size_t length, int64_t now)
{
    size_t offset = 8;
    if (p[1] == SENDER_REPORT) {
        if (length < 28)
            return;
        endpoint->receiver.sender_report_of = read32(p + 4);
        endpoint->receiver.sender_report = read32(p + 10);
        endpoint->receiver.sender_report_at = now;
        offset = 28;
    }
    for (int count = p[0] & 0x1F; count && offset + REPORT_BLOCK <= length; count--, offset += REPORT_BLOCK)
        read_block(endpoint, p + offset);
}

bool rtcp_is_one(const uint8_t *data, size_t length)
{
    return length >= 8 && data[1] >= 192 && data[1] <= 223;
}

/* RFC 3550 A.2: packets of version 2 that fill it to its end. */
static bool rtcp_valid(const uint8_t *data, size_t length)
{
    if (!rtcp_is_one(data, length))
        return false;
    while (length >= 4 && data[0] >> 6 == 2) {
        size_t size = 4u * (read16(data + 2) + 1u);
        if (size >= length)
            return size == length;
        data += size;
        length -= size;
    }
    return false;
}

bool rtcp_receive(struct endpoint *endpoint, const uint8_t *data, size_t length, int64_t now)
{
    if (!rtcp_valid(data, length))
        return false;
    while (length) {
        size_t size = 4u * (read16(data + 2) + 1u);
        if ((data[1] == SENDER_REPORT || data[1] == RECEIVER_REPORT) && size >= 8)
            read_report(endpoint, data, size, now);
        data += size;
        length -= size;
    }
    return true;
}
