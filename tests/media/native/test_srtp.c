/* Unit tests of endpoints whose packets are SRTP: what is taken, what is sent, what a key outlives.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h. The far end is
 * libsrtp too, but for the packet of a known answer; tests/media/test_srtp.py has one that is not.
 */
#include "steps.h"
#include "secured.h"

/* The reference packet of libsrtp, RFC 3711 with the first suite of RFC 4568 6.2. */
static void test_a_packet_becomes_what_is_known_that_it_must(void)
{
    static const uint8_t plain[] = {0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe, 0xab, 0xab,
                                    0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab};
    static const uint8_t known[] = {0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe, 0x4e,
                                    0x55, 0xdc, 0x4c, 0xe7, 0x99, 0x78, 0xd8, 0x8c, 0xa4, 0xd2, 0x15, 0x94, 0x9d,
                                    0x24, 0x02, 0xb7, 0x8d, 0x6a, 0xcc, 0x99, 0xea, 0x17, 0x9b, 0x8d, 0xbb};
    struct srtp_context *out = context(key_a, true), *in = context(key_a, false);
    uint8_t packet[sizeof plain + SRTP_ROOM];
    size_t length = sizeof plain;
    memcpy(packet, plain, sizeof plain);
    CHECK(srtp_seal(out, false, packet, &length) && length == sizeof known && !memcmp(packet, known, length));
    CHECK(srtp_open(in, false, packet, &length) == SRTP_TAKEN && length == sizeof plain);
    CHECK(!memcmp(packet, plain, length));
    srtp_context_free(out);
    srtp_context_free(in);
}

static void test_a_key_is_as_long_as_its_suite_wants(void)
{
    static const uint8_t long_key[30 + 129];
    CHECK(!srtp_context_create(CM, key_a, 29, true) && !srtp_context_create(CM, key_a, 0, true));
    CHECK(!srtp_context_create(CM, key_a, 31, true) && !srtp_context_create(CM, long_key, sizeof long_key, false));
    CHECK(!srtp_context_create("AES_256_CM_HMAC_SHA1_80", key_a, 46, true));
}

static void test_what_comes_protected_goes_on_plain_and_back_protected(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true), *in = context(key_b, false);
    size_t overhead = !strcmp(suite, GCM) ? 16 : TAG;
    for (uint16_t i = 0; i < 5; i++) {
        say(out, (uint16_t)(65533 + i), 7); /* round the end of the numbers */
        CHECK(sent_count == 2u * i + 1 && sent[2 * i].length == RTP_HEADER + sizeof voice);
        CHECK(!memcmp(sent[2 * i].data + RTP_HEADER, voice, sizeof voice));
        uint8_t packet[RTP_HEADER + FRAME_SAMPLES + SRTP_ROOM];
        rtp_write(packet, false, PCMA, i, 160u * i, 8);
        memcpy(packet + RTP_HEADER, voice, sizeof voice);
        receive(1, false, phone(1), packet, RTP_HEADER + sizeof voice);
        struct sent *answer = &sent[2 * i + 1];
        CHECK(answer->length == RTP_HEADER + sizeof voice + overhead);
        CHECK(memcmp(answer->data + RTP_HEADER, voice, sizeof voice));
        CHECK(srtp_open(in, false, answer->data, &answer->length) == SRTP_TAKEN);
        CHECK(answer->length == RTP_HEADER + sizeof voice && !memcmp(answer->data + RTP_HEADER, voice, sizeof voice));
    }
    CHECK(worker.endpoints[0].receiver.received_all == 5 && !drops()->forged);
    srtp_context_free(out);
    srtp_context_free(in);
    finish();
}

/* RFC 3711 3.1: between the cipher text and the tag; by the far end's key alone, ours has none. */
static void test_packets_with_an_identifier_of_their_key_are_taken(void)
{
    uint8_t key[44 + 4] = {0}, packet[MAX_PACKET];
    memcpy(key, key_a, key_length());
    memcpy(key + key_length(), "\0\0\0\1", 4);
    start_talk();
    struct command command = {.type = COMMAND_CONFIGURE, .handle = a, .remote = remote_at(phone(0), PCMA, 101)};
    command.remote.srtp_in = srtp_context_create(suite, key, key_length() + 4, false);
    CHECK(command.remote.srtp_in && !srtp_context_same(command.remote.srtp_in, worker.endpoints[0].srtp_in));
    worker_obey(&worker, &command);
    struct srtp_context *out = context(key_a, true);
    size_t tag = !strcmp(suite, GCM) ? 16 : TAG, length = sealed(out, packet, 1, 7);
    receive(0, false, phone(0), packet, length); /* without */
    CHECK(drops()->forged == 1 && !sent_count);
    /* With AES-CM the tag stands behind the identifier, with AES-GCM it belongs to the cipher text (RFC 7714 8.2). */
    uint8_t *place = packet + length - (strcmp(suite, GCM) ? tag : 0);
    memmove(place + 4, place, (size_t)(packet + length - place));
    memcpy(place, "\0\0\0\2", 4);
    receive(0, false, phone(0), packet, length + 4);
    CHECK(drops()->forged == 2 && !sent_count);
    place[3] = 1;
    receive(0, false, phone(0), packet, length + 4);
    CHECK(drops()->forged == 2 && sent_count == 1 && !memcmp(sent[0].data + RTP_HEADER, voice, sizeof voice));
    for (size_t cut = 0; cut < length + 4; cut++) {
        worker.endpoints[0].arrivals = 0;
        receive(0, false, phone(0), packet, cut);
        receive(0, true, rtcp_of(phone(0)), packet, cut);
    }
    CHECK(sent_count == 1);
    srtp_context_free(out);
    finish();
}

/* Neither the latch nor the silence watch nor a count of received packets knows of it. */
static void test_what_is_not_authentic_moves_nothing(void)
{
    start_talk();
    configure(a, 0, key_a, key_b, true);
    struct srtp_context *wrong = context(key_c, true);
    for (uint16_t i = 0; i < 20; i++) {
        uint8_t packet[MAX_PACKET];
        size_t length = sealed(wrong, packet, i, 7);
        receive(0, false, phone(5), packet, length);
        give_from(phone(5), 0, PCMA, i, 160u * i, voice, sizeof voice); /* plain */
    }
    CHECK(drops()->forged == 40 && worker.totals.drops.forged == 40 && !drops()->strangers);
    CHECK(!worker.endpoints[0].receiver.started && !worker.endpoints[0].latch.heard_at && !sent_count);
    struct srtp_context *right = context(key_a, true);
    for (uint16_t i = 0; i < 20; i++) {
        uint8_t packet[MAX_PACKET];
        size_t length = sealed(right, packet, i, 7);
        worker.now += FRAME_NS;
        receive(0, false, phone(6), packet, length);
    }
    union address moved = phone(6);
    CHECK(same_address(&worker.endpoints[0].line.to, &moved) && sent_count);
    srtp_context_free(wrong);
    srtp_context_free(right);
    finish();
}

static void test_nothing_is_taken_twice(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true);
    uint8_t packet[MAX_PACKET];
    size_t length = sealed(out, packet, 1, 7);
    receive(0, false, phone(0), packet, length);
    receive(0, false, phone(0), packet, length);
    CHECK(sent_count == 1 && drops()->replayed == 1 && worker.totals.drops.replayed == 1 && !drops()->forged);
    for (uint16_t i = 2; i < 400; i++)
        say(out, i, 7);
    receive(0, false, phone(0), packet, length);
    CHECK(drops()->replayed == 2);
    srtp_context_free(out);
    finish();
}

/* A far end's network doubles its packets: the other one's SRTP must not use a number twice. */
static void test_no_number_goes_out_twice(void)
{
    start_talk();
    for (uint16_t i = 0; i < 4; i++)
        for (int twice = 0; twice < 2; twice++)
            give(1, PCMA, i, 160u * i, voice, sizeof voice);
    CHECK(sent_count == 4 && worker.endpoints[0].line.packets == 4);
    finish();
}

static void test_truncated_packets_are_forged_whatever_is_cut(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true);
    uint8_t packet[MAX_PACKET];
    size_t length = sealed(out, packet, 1, 7);
    for (size_t cut = 0; cut < length; cut++) {
        worker.endpoints[0].arrivals = 0;
        receive(0, false, phone(0), packet, cut);
        receive(0, true, rtcp_of(phone(0)), packet, cut);
    }
    CHECK(drops()->forged == 2 * length && !sent_count);
    srtp_context_free(out);
    finish();
}

/* RFC 4568 7.1.4: a refresh brings the same keys; the numbers that have gone round are not forgotten. */
static void test_the_same_keys_again_keep_what_they_have_come_to(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true), *in = context(key_b, false);
    uint8_t replayed[MAX_PACKET];
    size_t length = sealed(out, replayed, 65535, 7);
    receive(0, false, phone(0), replayed, length);
    say(out, 0, 7);
    configure(a, 0, key_a, key_b, false);
    say(out, 1, 7);
    receive(0, false, phone(0), replayed, length);
    CHECK(sent_count == 3 && drops()->replayed == 1 && !drops()->forged);
    for (uint16_t i = 0; i < 20; i++) { /* from 65530 on */
        give(1, PCMA, i, 160u * i, voice, sizeof voice);
        if (i == 10)
            configure(a, 0, key_a, key_b, false);
        struct sent *answer = &sent[3 + i];
        CHECK(srtp_open(in, false, answer->data, &answer->length) == SRTP_TAKEN);
    }
    srtp_context_free(out);
    srtp_context_free(in);
    finish();
}

/* RFC 4568 6.2: the same key under another suite protects otherwise. */
static void test_another_suite_is_another_protection_though_the_key_be_the_same(void)
{
    const char *before = suite;
    suite = CM;
    start_talk();
    suite = "AES_CM_128_HMAC_SHA1_32";
    configure(a, 0, key_a, key_b, false);
    struct srtp_context *out = context(key_a, true), *in = context(key_b, false);
    say(out, 1, 7);
    CHECK(!drops()->forged && worker.endpoints[0].receiver.received_all == 1);
    give(1, PCMA, 1, 160, voice, sizeof voice);
    struct sent *answer = &sent[sent_count - 1];
    CHECK(answer->slot == 0 && !answer->rtcp && answer->length == RTP_HEADER + sizeof voice + 4);
    CHECK(srtp_open(in, false, answer->data, &answer->length) == SRTP_TAKEN);
    srtp_context_free(out);
    srtp_context_free(in);
    finish();
    suite = before;
}

static void test_a_new_key_takes_the_place_of_one_direction_alone(void)
{
    start_talk();
    struct srtp_context *old = context(key_a, true), *new = context(key_c, true), *in = context(key_b, false);
    say(old, 1, 7);
    give(1, PCMA, 1, 160, voice, sizeof voice);
    configure(a, 0, key_c, key_b, false);
    say(old, 2, 7);
    say(new, 3, 7);
    give(1, PCMA, 2, 320, voice, sizeof voice);
    CHECK(drops()->forged == 1 && sent_count == 5);
    for (uint32_t i = 0; i < sent_count; i++) /* the third says goodbye in the name of the former SSRC */
        CHECK(sent[i].slot || srtp_open(in, i == 2, sent[i].data, &sent[i].length) == SRTP_TAKEN);
    configure(a, 0, NULL, NULL, false); /* and plain again */
    worker.now += FRAME_NS;
    give(0, PCMA, 4, 640, voice, sizeof voice);
    CHECK(sent_count == 6);
    srtp_context_free(old);
    srtp_context_free(new);
    srtp_context_free(in);
    finish();
}

/* RFC 3711 3.3.1: who receives elsewhere, or begins anew with a key of its own, can't know how often our numbers have
 * gone round. Where our key stays (the answer to an offer of ours, another fork), a new SSRC has gone round never.
 */
static void test_who_receives_elsewhere_need_not_know_how_often_numbers_went_round(uint32_t at, const uint8_t *theirs)
{
    start_talk();
    struct srtp_context *here = context(key_b, false), *elsewhere = context(key_b, false);
    for (uint16_t i = 0; i < 20; i++) { /* from 65530 on */
        give(1, PCMA, i, 160u * i, voice, sizeof voice);
        CHECK(srtp_open(here, false, sent[i].data, &sent[i].length) == SRTP_TAKEN);
    }
    union address goodbye_to = rtcp_of(phone(0));
    configure(a, at, theirs, key_b, false);
    uint32_t before = sent_count;
    CHECK(before == 21 && sent[20].rtcp && same_address(&sent[20].to, &goodbye_to));
    give(1, PCMA, 20, 3200, voice, sizeof voice);
    CHECK(srtp_open(elsewhere, false, sent[before].data, &sent[before].length) == SRTP_TAKEN);
    srtp_context_free(here);
    srtp_context_free(elsewhere);
    finish();
}

static void lose(struct srtp_context *phone_out, uint32_t lost)
{
    uint8_t report[32 + SRTP_ROOM] = {0x81, 201, 0, 7, 0, 0, 0, 7};
    size_t length = 32;
    write32(report + 8, worker.endpoints[0].line.ssrc);
    write32(report + 12, lost);
    CHECK(srtp_seal(phone_out, true, report, &length));
    receive(0, true, rtcp_of(phone(0)), report, length);
}

/* RFC 3550 6.4.1: the far end counts for each SSRC. */
static void test_what_was_lost_under_an_earlier_ssrc_is_not_forgotten(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true);
    lose(out, 3);
    configure(a, 0, key_a, key_c, false);
    CHECK(worker.endpoints[0].remote_lost == 3);
    lose(out, 2);
    CHECK(worker.endpoints[0].remote_lost == 5);
    lose(out, 4);
    CHECK(worker.endpoints[0].remote_lost == 7);
    srtp_context_free(out);
    finish();
}

/* A key that comes back begins to count anew: under an SSRC of before every number would protect a second packet
 * (RFC 3711 9.1, RFC 7714 8.1: that gives away both, and the key of the tags).
 */
static void test_a_key_that_comes_back_is_for_another_ssrc(const uint8_t *between)
{
    start_talk();
    struct srtp_context *in = context(key_b, false);
    give(1, PCMA, 1, 160, voice, sizeof voice);
    rtcp_report(&worker, &worker.endpoints[0]);
    uint32_t first = worker.endpoints[0].line.ssrc;
    configure(a, 0, key_a, key_b, false);
    CHECK(worker.endpoints[0].line.ssrc == first);
    configure(a, 0, between ? key_a : NULL, between, false);
    configure(a, 0, key_a, key_b, false);
    uint32_t before = sent_count;
    give(1, PCMA, 2, 320, voice, sizeof voice);
    rtcp_report(&worker, &worker.endpoints[0]);
    CHECK(sent_count == before + 2 && read32(sent[before].data + 8) != first && read32(sent[before + 1].data + 4) != first);
    for (uint32_t i = before; i < sent_count; i++)
        CHECK(srtp_open(in, sent[i].rtcp, sent[i].data, &sent[i].length) == SRTP_TAKEN);
    srtp_context_free(in);
    finish();
}

/* Who has the key and changes its SSRC for ever: the oldest are forgotten, so nothing grows. */
static void test_many_ssrcs_are_taken_and_few_remembered(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true);
    uint8_t first[MAX_PACKET], again[MAX_PACKET];
    size_t length = sealed(out, first, 1, 1000), other = 0;
    receive(0, false, phone(0), first, length);
    for (uint32_t i = 1; i < 50; i++) {
        other = sealed(out, again, (uint16_t)i, 1000 + i);
        worker.now += FRAME_NS;
        receive(0, false, phone(0), again, other);
    }
    uint64_t taken = worker.endpoints[0].receiver.received_all;
    CHECK(taken == 50 && !drops()->forged && !drops()->replayed);
    receive(0, false, phone(0), again, other);
    CHECK(drops()->replayed == 1);
    worker.now += FRAME_NS;
    receive(0, false, phone(0), first, length); /* forgotten, and no memory but of the last few is kept */
    CHECK(worker.endpoints[0].receiver.received_all == 51 && drops()->replayed == 1);
    srtp_context_free(out);
    finish();
}

/* Nor is the one that goes on talking among all the others. */
static void test_who_goes_on_is_not_forgotten(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true);
    uint8_t first[MAX_PACKET];
    size_t length = sealed(out, first, 1, 7);
    receive(0, false, phone(0), first, length);
    for (uint32_t i = 1; i < 50; i++) {
        say(out, (uint16_t)(1 + i), 7);
        say(out, 1, 1000 + i);
    }
    receive(0, false, phone(0), first, length);
    CHECK(drops()->replayed == 1 && worker.endpoints[0].receiver.received_all == 99);
    srtp_context_free(out);
    finish();
}

/* RFC 3711 3.4: reports are protected both ways, by RTP's port too (RFC 5761). */
static void test_reports_are_protected(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true), *in = context(key_b, false);
    say(out, 1, 7);
    give(1, PCMA, 1, 160, voice, sizeof voice);
    uint32_t ours = sent_count;
    rtcp_report(&worker, &worker.endpoints[0]);
    size_t behind = strcmp(suite, GCM) ? TAG + 4 : 4; /* where “encrypted” and the index stand */
    CHECK(sent[ours].rtcp && sent[ours].data[1] == 200 && sent[ours].data[sent[ours].length - behind] & 0x80);
    uint32_t line = read32(sent[ours].data + 4);
    CHECK(srtp_open(in, true, sent[ours].data, &sent[ours].length) == SRTP_TAKEN);
    CHECK(read32(sent[ours].data + 4) == line && sent[ours].length == 80);

    uint8_t report[32 + SRTP_ROOM] = {0x81, 201, 0, 7, 0, 0, 0, 7};
    write32(report + 8, line);
    write32(report + 12, 3);
    size_t length = 32;
    receive(0, true, rtcp_of(phone(0)), report, length); /* not protected */
    CHECK(drops()->forged == 1 && !worker.endpoints[0].reported);
    CHECK(srtp_seal(out, true, report, &length));
    receive(0, true, rtcp_of(phone(0)), report, length);
    CHECK(worker.endpoints[0].reported && worker.endpoints[0].remote_lost == 3);
    receive(0, true, rtcp_of(phone(0)), report, length);
    CHECK(drops()->replayed == 1);
    srtp_context_free(out);
    srtp_context_free(in);
    finish();
}

/* RFC 3550 8.2: another SSRC is another stream of the same key. */
static void test_an_ssrc_that_collides_is_changed_and_protected_anew(void)
{
    start_talk();
    struct srtp_context *out = context(key_a, true), *in = context(key_b, false);
    give(1, PCMA, 1, 160, voice, sizeof voice);
    say(out, 1, worker.endpoints[0].line.ssrc);
    give(1, PCMA, 2, 320, voice, sizeof voice);
    uint32_t checked = 0;
    for (uint32_t i = 0; i < sent_count; i++) {
        if (sent[i].slot != 0)
            continue;
        CHECK(srtp_open(in, sent[i].rtcp, sent[i].data, &sent[i].length) == SRTP_TAKEN);
        checked++;
    }
    CHECK(checked == 3 && read32(sent[sent_count - 1].data + 8) != 100);
    srtp_context_free(out);
    srtp_context_free(in);
    finish();
}

static void test_keys_for_an_endpoint_that_has_gone_are_let_go(void)
{
    start_talk();
    configure(9u << 16, 0, key_a, key_b, false);
    finish();
}

static void test_all(void)
{
    test_what_comes_protected_goes_on_plain_and_back_protected();
    test_packets_with_an_identifier_of_their_key_are_taken();
    test_what_is_not_authentic_moves_nothing();
    test_nothing_is_taken_twice();
    test_no_number_goes_out_twice();
    test_truncated_packets_are_forged_whatever_is_cut();
    test_the_same_keys_again_keep_what_they_have_come_to();
    test_another_suite_is_another_protection_though_the_key_be_the_same();
    test_a_new_key_takes_the_place_of_one_direction_alone();
    test_many_ssrcs_are_taken_and_few_remembered();
    test_who_goes_on_is_not_forgotten();
}

static void test_a_build_without_libsrtp_has_no_suite(void)
{
    CHECK(!srtp_context_create(CM, key_a, 30, true));
    srtp_context_free(NULL);
}

int main(void)
{
    srtp_set_up();
    srtp_set_up(); /* once is enough */
    if (!srtp_suite(0)) {
        test_a_build_without_libsrtp_has_no_suite();
        puts("ok");
        return 0;
    }
    test_a_packet_becomes_what_is_known_that_it_must();
    test_a_key_is_as_long_as_its_suite_wants();
    test_keys_for_an_endpoint_that_has_gone_are_let_go();
    for (int i = 0; (suite = srtp_suite(i)); i++) {
        test_reports_are_protected();
        test_an_ssrc_that_collides_is_changed_and_protected_anew();
        test_who_receives_elsewhere_need_not_know_how_often_numbers_went_round(2, key_a);
        test_who_receives_elsewhere_need_not_know_how_often_numbers_went_round(0, key_c);
        test_what_was_lost_under_an_earlier_ssrc_is_not_forgotten();
        test_a_key_that_comes_back_is_for_another_ssrc(NULL);
        test_a_key_that_comes_back_is_for_another_ssrc(key_c);
        if (strcmp(suite, "AES_CM_128_HMAC_SHA1_32")) /* its tag is of another length, and nothing else */
            test_all();
    }
    puts("ok");
    return 0;
}
