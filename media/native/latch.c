/* Only the address that SDP named counts: what still arrives of the last call on a port is not taken for the next.
 *
 * Behind NAT, by setting, several packets of one line move the far end (RFC 7362): from any host as long as nothing was
 * heard or a re-INVITE came a moment ago, later only from another port of the same host; and never while the known one still talks.
 * A stranger can neither take over live talk nor get any of it.
 */
#include "latch.h"

#define LATCH_PACKETS 3
#define LATCH_STEP 8 /* sequence numbers that a line may leave out from one packet to the next */
#define QUIET_NS 500000000LL
#define RENEWAL_NS 5000000000LL

static void latch_aim(struct latch *latch, const union address *from)
{
    latch->from = *from;
    latch->renewed_until = 0;
    latch->rtcp_held = false;
    memset(latch->candidates, 0, sizeof latch->candidates);
}

static void latch_expect_rtcp(struct latch *latch, uint16_t port)
{
    latch->rtcp_from = latch->from;
    if (!latch->mux)
        address_set_port(&latch->rtcp_from, port);
}

bool latch_announce(struct latch *latch, const union address *rtp, uint16_t rtcp_port, bool nat, bool mux, int64_t now)
{
    bool moved = !same_address(&latch->announced, rtp);
    latch->nat = nat;
    latch->mux = mux;
    if (moved) {
        latch->announced = *rtp;
        latch->heard_at = 0;
        latch_aim(latch, rtp);
    }
    latch->renewed_until = now + RENEWAL_NS;
    if (moved || !latch->rtcp_held)
        latch_expect_rtcp(latch, rtcp_port);
    return moved;
}

static struct candidate *latch_candidate(struct latch *latch, const union address *from, const struct rtp *rtp)
{
    for (int i = 0; i < LATCH_CANDIDATES; i++) {
        struct candidate *candidate = &latch->candidates[i];
        if (candidate->count && candidate->ssrc == rtp->ssrc && same_address(&candidate->from, from))
            return candidate;
    }
    struct candidate *candidate = &latch->candidates[latch->next++ % LATCH_CANDIDATES];
    *candidate = (struct candidate){.from = *from, .ssrc = rtp->ssrc, .sequence = (uint16_t)(rtp->sequence - 1)};
    return candidate;
}

/* RFC 3550 A.1: a source is valid once several of its packets followed each other. */
static bool latch_holds(struct latch *latch, const union address *from, const struct rtp *rtp)
{
    struct candidate *candidate = latch_candidate(latch, from, rtp);
    uint16_t step = (uint16_t)(rtp->sequence - candidate->sequence);
    candidate->sequence = rtp->sequence;
    candidate->count = step >= 1 && step <= LATCH_STEP ? (uint8_t)(candidate->count + 1) : 1;
    return candidate->count >= LATCH_PACKETS;
}

enum verdict latch_judge(struct latch *latch, const union address *from, const struct rtp *rtp, int64_t now)
{
    if (same_address(from, &latch->from)) {
        latch->heard_at = now;
        return KNOWN;
    }
    bool quiet = !latch->heard_at || now - latch->heard_at > QUIET_NS;
    bool eligible = !latch->heard_at || now < latch->renewed_until || same_host(from, &latch->from);
    if (!latch->nat || !quiet || !eligible || !latch_holds(latch, from, rtp))
        return STRANGER;
    latch_aim(latch, from);
    latch_expect_rtcp(latch, (uint16_t)(address_port(from) + 1));
    latch->heard_at = now;
    return MOVED;
}

bool latch_accepts_rtcp(struct latch *latch, const union address *from)
{
    if (same_address(from, &latch->rtcp_from))
        return latch->rtcp_held = true;
    if (same_address(from, &latch->from))
        return true; /* it reports from where it talks, and may listen for reports elsewhere */
    if (!latch->nat || latch->rtcp_held || !same_host(from, &latch->from))
        return false;
    latch->rtcp_from = *from;
    return latch->rtcp_held = true;
}
