/* Whose packets count at an endpoint: RFC 7362 latching, guarded. */
#ifndef MEDIA_LATCH_H
#define MEDIA_LATCH_H

#include "address.h"
#include "rtp.h"

#define LATCH_CANDIDATES 3 /* of those whom signalling names, and as many others */

enum verdict { STRANGER, KNOWN, MOVED };

/* A source that would like to be the far end, how many packets of one line it has sent, and when. */
struct candidate {
    union address from;
    uint32_t ssrc, count;
    uint16_t sequence;
    int64_t first_at, last_at;
};

struct latch {
    union address announced; /* by SDP */
    union address signalling; /* the host that its SIP comes from; of no family where that is not known */
    union address from, rtcp_from; /* who counts; differ from what was announced once latched behind NAT */
    int64_t heard_at; /* last RTP from there, 0: none since it was announced */
    int64_t taken_at; /* when that address became the one that counts */
    uint16_t rtcp_port; /* by SDP */
    bool nat, mux, rtcp_held;
    bool held; /* SDP names no address for now: nothing may be sent */
    struct candidate candidates[2][LATCH_CANDIDATES];
};

/* What signalling says of the far end. */
struct announcement {
    union address rtp, signalling;
    uint16_t rtcp_port;
    bool nat, mux;
};

/* True where it names another address than before: nothing heard so far counts any more. Hold by the address 0.0.0.0
 * (RFC 2543) names none. */
bool latch_announce(struct latch *latch, const struct announcement *announcement);

/* Whether an RTP packet counts; MOVED: it does, and `from` is another address than before. */
enum verdict latch_judge(struct latch *latch, const union address *from, const struct rtp *rtp, int64_t now);

/* Whether a report counts; behind NAT the first one's port is the one that is held. */
bool latch_accepts_rtcp(struct latch *latch, const union address *from);

#endif
