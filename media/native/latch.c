/* Only the address that SDP named counts: what still arrives of the last call on a port is not taken for the next.
 *
 * Behind NAT, by setting, packets of one line move the far end (RFC 7362). Whoever sprays all ports must not be it:
 *   - the hosts that signalling names (SDP's, and the one that its SIP comes from) need three packets, and take the place of
 *     any other host at any time, as SDP's very address does of any other port: what is left there may be another call's;
 *   - any other host needs a steady stream of 150 ms, and that nobody else begins one meanwhile: of two who try at once
 *     neither is heard while both go on;
 *   - whoever counts is not replaced while it talks, but for the first rule. When it is silent, another port of its host
 *     may follow it, and a host that signalling names; another host only where it was not even heard for two seconds.
 * A re-INVITE opens nothing by itself: only another address in SDP begins anew.
 */
#include "latch.h"

#define NAMED_PACKETS 3
#define OTHER_PACKETS 5
#define OTHER_NS 150000000LL
#define PAUSE_NS 200000000LL /* in a stream that shall prove something */
#define LATCH_STEP 8 /* sequence numbers that a line may leave out from one packet to the next */
#define QUIET_NS 500000000LL
#define TRIAL_NS 2000000000LL

/* SDP's port counts only where SDP's address does: a NAT has chosen another, likely the next to that of RTP. */
static void latch_expect_rtcp(struct latch *latch)
{
    bool as_announced = same_address(&latch->from, &latch->announced);
    latch->rtcp_held = false;
    latch->rtcp_from = latch->from;
    if (!latch->mux)
        address_set_port(&latch->rtcp_from, as_announced ? latch->rtcp_port : (uint16_t)(address_port(&latch->from) + 1));
}

static void latch_aim(struct latch *latch, const union address *from)
{
    latch->from = *from;
    memset(latch->candidates, 0, sizeof latch->candidates);
    latch_expect_rtcp(latch);
}

bool latch_announce(struct latch *latch, const struct announcement *announcement)
{
    latch->nat = announcement->nat;
    latch->signalling = announcement->signalling;
    latch->held = !address_usable(&announcement->rtp);
    if (latch->held)
        return false;
    bool otherwise = latch->mux != announcement->mux || latch->rtcp_port != announcement->rtcp_port;
    latch->mux = announcement->mux;
    latch->rtcp_port = announcement->rtcp_port;
    bool moved = !same_address(&latch->announced, &announcement->rtp);
    if (moved) {
        latch->announced = announcement->rtp;
        latch->heard_at = 0;
        latch_aim(latch, &announcement->rtp);
    } else if (otherwise) {
        latch_expect_rtcp(latch);
    }
    return moved;
}

static bool latch_names(const struct latch *latch, const union address *from)
{
    return same_host(from, &latch->announced) || same_host(from, &latch->signalling);
}

/* Whether anybody at `from` may become the far end now. */
static bool latch_is_open(const struct latch *latch, const union address *from, bool named, int64_t now)
{
    bool holder_named = latch_names(latch, &latch->from);
    if (!latch->heard_at || (named && !holder_named) || same_address(from, &latch->announced))
        return true;
    if (now - latch->heard_at <= QUIET_NS)
        return false;
    return named || same_host(from, &latch->from) || (!holder_named && latch->heard_at - latch->taken_at < TRIAL_NS);
}

/* Its place, else that of whoever has proved least: single packets don't drive out a stream that has begun. */
static struct candidate *latch_candidate(struct candidate *candidates, const union address *from, const struct rtp *rtp,
                                         int64_t now)
{
    struct candidate *least = candidates;
    for (struct candidate *candidate = candidates; candidate < candidates + LATCH_CANDIDATES; candidate++) {
        if (candidate->count && candidate->ssrc == rtp->ssrc && same_address(&candidate->from, from))
            return candidate;
        if (now - candidate->last_at > PAUSE_NS)
            candidate->count = 0;
        if (candidate->count < least->count)
            least = candidate;
    }
    *least = (struct candidate){.from = *from, .ssrc = rtp->ssrc};
    return least;
}

/* RFC 3550 A.1: a source is valid once several of its packets followed each other. */
static void candidate_add(struct candidate *candidate, const struct rtp *rtp, bool steady, int64_t now)
{
    uint16_t step = (uint16_t)(rtp->sequence - candidate->sequence);
    if (!candidate->count || step < 1 || step > LATCH_STEP
        || (steady && now - candidate->last_at > PAUSE_NS)) {
        candidate->count = 0;
        candidate->first_at = now;
    }
    candidate->count++;
    candidate->sequence = rtp->sequence;
    candidate->last_at = now;
}

static bool latch_is_contested(const struct latch *latch, const struct candidate *by, int64_t now)
{
    for (int i = 0; i < LATCH_CANDIDATES; i++) {
        const struct candidate *other = &latch->candidates[0][i];
        if (other != by && other->count >= NAMED_PACKETS && now - other->last_at <= PAUSE_NS
            && !same_address(&other->from, &by->from))
            return true;
    }
    return false;
}

static bool latch_holds(struct latch *latch, const union address *from, bool named, const struct rtp *rtp, int64_t now)
{
    struct candidate *candidate = latch_candidate(latch->candidates[named], from, rtp, now);
    candidate_add(candidate, rtp, !named, now);
    if (named)
        return candidate->count >= NAMED_PACKETS;
    return candidate->count >= OTHER_PACKETS && now - candidate->first_at >= OTHER_NS
           && !latch_is_contested(latch, candidate, now);
}

enum verdict latch_judge(struct latch *latch, const union address *from, const struct rtp *rtp, int64_t now)
{
    if (same_address(from, &latch->from)) {
        if (!latch->heard_at)
            latch->taken_at = now;
        latch->heard_at = now;
        return KNOWN;
    }
    if (!latch->nat)
        return STRANGER;
    bool named = latch_names(latch, from);
    if (!latch_is_open(latch, from, named, now) || !latch_holds(latch, from, named, rtp, now))
        return STRANGER;
    latch_aim(latch, from);
    latch->heard_at = latch->taken_at = now;
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
