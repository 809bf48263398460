/* What SRTP takes for one packet of 20 ms in srtp.c alone, as many legs taking turns in one thread, and what it keeps.
 *
 * Compiled twice and run by tests/bench/bench_packets.py: with our ciphers, and (THEIR_CIPHERS) with those that the installed
 * libsrtp was built with. Usage: srtp_cost SUITE ROUNDS PACKETS LEGS. Each leg has a key and an SSRC of its own and sends
 * PACKETS / LEGS packets in a round; all of them are sealed in turn, then all opened by contexts of other legs. Prints a line
 * of JSON: microseconds a packet, KB a context, and what a forged packet costs before anything authentic has come: under
 * one SSRC, and each under another.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../media/native/rtp.h"
#include "../../media/native/srtp.h"
#include "rounds.h"

#define PCMA 8
#define PACKET (RTP_HEADER + FRAME)
#define LONGEST_KEY 44
#define SHORTER_KEY 30
#define FORGED 2000

struct leg {
    struct srtp_context *out, *in;
    size_t length;
    uint8_t packet[PACKET + SRTP_ROOM];
};

struct cost {
    double seal, open, forged, forged_anew; /* microseconds a packet */
    double kept;                            /* bytes a context */
};

#ifdef THEIR_CIPHERS
bool srtp_ciphers_replace(void)
{
    return true;
}
#endif

static void must(bool done)
{
    if (!done)
        exit(1);
}

static struct srtp_context *context(const char *suite, size_t leg, bool sending)
{
    uint8_t key[LONGEST_KEY] = {(uint8_t)leg, (uint8_t)(leg >> 8)};
    struct srtp_context *made = srtp_context_create(suite, key, strncmp(suite, "AEAD", 4) ? SHORTER_KEY : LONGEST_KEY, sending);
    must(made);
    return made;
}

static void write_packet(struct leg *leg, uint32_t ssrc, uint16_t sequence)
{
    leg->length = PACKET;
    rtp_write(leg->packet, false, PCMA, sequence, (uint32_t)sequence * FRAME, ssrc);
    memset(leg->packet + RTP_HEADER, 0x55, FRAME);
}

/* One packet of each leg, there and back. */
static void take_turns(struct leg *legs, size_t count, uint16_t sequence, double *sealing, double *opening)
{
    for (size_t i = 0; i < count; i++)
        write_packet(legs + i, 1 + (uint32_t)i, sequence);
    double before = cpu_us();
    for (size_t i = 0; i < count; i++)
        must(srtp_seal(legs[i].out, false, legs[i].packet, &legs[i].length));
    double between = cpu_us();
    for (size_t i = 0; i < count; i++)
        must(srtp_open(legs[i].in, false, legs[i].packet, &legs[i].length) == SRTP_TAKEN);
    *sealing += between - before;
    *opening += cpu_us() - between;
}

static double allocated(void)
{
    struct mallinfo2 heap = mallinfo2();
    return (double)heap.uordblks + (double)heap.hblkhd;
}

static struct cost measure_legs(const char *suite, int rounds, size_t packets, size_t count)
{
    struct leg *legs = calloc(count, sizeof *legs);
    struct cost cost = {0};
    double nobody = 0, before = allocated();
    uint16_t sequence = 1;
    must(legs);
    for (size_t i = 0; i < count; i++)
        legs[i] = (struct leg){.out = context(suite, i, true), .in = context(suite, i, false)};
    take_turns(legs, count, sequence++, &nobody, &nobody);
    cost.kept = (allocated() - before) / (2.0 * (double)count);
    size_t turns = packets / count ? packets / count : 1;
    for (int round = 0; round < rounds; round++) {
        double sealing = 0, opening = 0;
        for (size_t turn = 0; turn < turns; turn++)
            take_turns(legs, count, sequence++, &sealing, &opening);
        cost.seal = least(cost.seal, sealing / (double)(turns * count));
        cost.open = least(cost.open, opening / (double)(turns * count));
    }
    for (size_t i = 0; i < count; i++) {
        srtp_context_free(legs[i].out);
        srtp_context_free(legs[i].in);
    }
    free(legs);
    return cost;
}

/* Packets that nobody with the key has sent. */
static double measure_forged(const char *suite, int rounds, bool anew)
{
    static struct leg leg;
    double cost = 0;
    for (int round = 0; round < rounds; round++) {
        double taken = 0;
        leg.in = context(suite, 0, false);
        for (uint32_t i = 0; i < FORGED; i++) {
            write_packet(&leg, 1 + (anew ? i : 0), (uint16_t)i);
            leg.length = PACKET + SRTP_ROOM / 2;
            double before = cpu_us();
            must(srtp_open(leg.in, false, leg.packet, &leg.length) == SRTP_FORGED);
            taken += cpu_us() - before;
        }
        cost = least(cost, taken / FORGED);
        srtp_context_free(leg.in);
    }
    return cost;
}

int main(int count, char **arguments)
{
    if (count < 5)
        return 1;
    const char *suite = arguments[1];
    int rounds = atoi(arguments[2]);
    srtp_set_up();
    struct cost cost = measure_legs(suite, rounds, (size_t)atol(arguments[3]), (size_t)atol(arguments[4]));
    cost.forged = measure_forged(suite, rounds, false);
    cost.forged_anew = measure_forged(suite, rounds, true);
    printf("{\"seal_us\": %.3f, \"open_us\": %.3f, \"context_kb\": %.2f, \"forged_us\": %.3f, \"forged_anew_us\": %.3f}\n",
           cost.seal, cost.open, cost.kept / 1024, cost.forged, cost.forged_anew);
    return 0;
}
