/* Unit tests of SRTP that was under way before its context was: the media server was started anew in the midst of a call.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h and secured.h.
 * RFC 3711 3.3.1: how often its numbers have gone round stands in no packet.
 */
#include "steps.h"
#include "secured.h"

#define SSRC 7
#define DAY (24u * 3600 * 50) /* packets */

/* A phone that has sent `packets` before, without the work of sealing them: libsrtp takes steps of half a round. */
static struct srtp_context *phone_after(uint32_t packets)
{
    struct srtp_context *out = context(key_a, true);
    uint8_t packet[MAX_PACKET];
    for (uint32_t at = 0; at < packets; at += 30000)
        sealed(out, packet, (uint16_t)at, SSRC);
    sealed(out, packet, (uint16_t)packets, SSRC);
    return out;
}

/* How many packets from number `first` on are lost before the phone is heard, `most` at the most; checks what is heard. */
static uint32_t unheard(struct srtp_context *out, uint32_t first, uint32_t most)
{
    uint32_t count = 0;
    while (count < most && !sent_count)
        say(out, (uint16_t)(first + ++count), SSRC);
    uint32_t before = sent_count;
    for (uint32_t i = 1; i <= 20 && before; i++) {
        say(out, (uint16_t)(first + count + i), SSRC);
        CHECK(sent_count == before + i && sent[sent_count - 1].length == RTP_HEADER + sizeof voice);
        CHECK(!memcmp(sent[sent_count - 1].data + RTP_HEADER, voice, sizeof voice));
    }
    return before ? count - 1 : count;
}

static void test_who_has_gone_round_is_heard_within_half_a_second_of_a_day(void)
{
    static const uint32_t before[] = {65536, 65536 + 40000, 10 * 65536 - 5, DAY};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        start_talk();
        struct srtp_context *out = phone_after(before[i]);
        CHECK(unheard(out, before[i], 1000) <= 25);
        srtp_context_free(out);
        finish();
    }
}

static void test_what_came_before_is_taken_no_second_time(void)
{
    start_talk();
    struct srtp_context *out = phone_after(200000);
    uint8_t packet[MAX_PACKET];
    size_t length = sealed(out, packet, (uint16_t)200001, SSRC);
    CHECK(unheard(out, 200001, 50) < 50);
    uint64_t taken = worker.endpoints[0].receiver.received_all;
    say(out, (uint16_t)200080, SSRC);
    receive(0, false, phone(0), packet, length); /* of before it was heard, within the window: late, but new */
    receive(0, false, phone(0), packet, length);
    CHECK(worker.endpoints[0].receiver.received_all == taken + 2 && drops()->replayed == 1);
    srtp_context_free(out);
    finish();
}

/* 3.2.1: SRTCP tells its index itself, so a report may well be the first that is understood. */
static void test_a_report_that_comes_first_hides_nobody(void)
{
    start_talk();
    struct srtp_context *out = phone_after(200000);
    uint8_t report[32 + SRTP_ROOM] = {0x81, 201, 0, 7, 0, 0, 0, SSRC};
    size_t length = 32;
    CHECK(srtp_seal(out, true, report, &length));
    receive(0, true, rtcp_of(phone(0)), report, length);
    CHECK(!drops()->forged);
    CHECK(unheard(out, 200000, 50) < 50);
    srtp_context_free(out);
    finish();
}

/* Others' packets neither end the search nor make anything grow. */
static void test_who_is_forged_at_once_hides_nobody(void)
{
    start_talk();
    struct srtp_context *out = phone_after(200000), *stranger = context(key_c, true);
    for (uint32_t i = 0; i < 300; i++) {
        say(stranger, (uint16_t)i, i % 5 ? 1000 + i : SSRC);
        worker_sweep(&worker);
    }
    CHECK(drops()->forged == 300 && !sent_count);
    CHECK(unheard(out, 200000, 300) < 300);
    srtp_context_free(out);
    srtp_context_free(stranger);
    finish();
}

/* Who has the key and was heard begins a further SSRC at no round (3.3.1): nothing is sought for that any more. */
static void test_nothing_is_sought_once_the_far_end_was_heard(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true), *other = phone_after(200000);
    for (uint16_t i = 0; i < 3; i++)
        say(out, i, 9);
    uint32_t before = sent_count;
    for (uint16_t i = 0; i < 300; i++)
        say(other, (uint16_t)(200001 + i), SSRC);
    CHECK(before == 3 && sent_count == 3 && drops()->forged == 300);
    srtp_context_free(out);
    srtp_context_free(other);
    finish();
}

int main(void)
{
    srtp_set_up();
    for (int i = 0; (suite = srtp_suite(i)); i++) {
        test_who_has_gone_round_is_heard_within_half_a_second_of_a_day();
        test_what_came_before_is_taken_no_second_time();
        test_a_report_that_comes_first_hides_nobody();
        test_who_is_forged_at_once_hides_nobody();
        test_nothing_is_sought_once_the_far_end_was_heard();
    }
    puts("ok");
    return 0;
}
