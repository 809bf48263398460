/* Unit tests of the ciphers below SRTP: what they give is held by test_srtp.c and by libsrtp itself, here what they take.
 *
 * Compiled with the sanitizers, whose allocator counts, and run by tests/media/native/test_core.py.
 */
#include "steps.h"
#include "secured.h"

#define PACKETS 100

#ifdef __SANITIZE_ADDRESS__
/* Of sanitizer/allocator_interface.h, which not every compiler brings. */
int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t),
                                              void (*freed)(const volatile void *));

static uint32_t allocations;

static void count_allocation(const volatile void *place, size_t size)
{
    allocations += place && size;
}

static void count_nothing(const volatile void *place)
{
    (void)place;
}

/* A list of all calls' sessions, which each packet goes through, is what OpenSSL is there to spare us: its contexts know of
 * no other. AES-GCM takes no memory for a packet, HMAC-SHA1 copies the state of its key.
 */
static void test_a_packet_takes_no_memory_that_its_stream_has_not(void)
{
    struct srtp_context *out = context(key_a, true), *in = context(key_a, false);
    uint8_t packet[MAX_PACKET];
    for (uint16_t i = 0; i < 2 * PACKETS; i++) {
        allocations = i == PACKETS ? 0 : allocations;
        size_t length = sealed(out, packet, i, 7);
        CHECK(srtp_open(in, false, packet, &length) == SRTP_TAKEN);
    }
    CHECK(allocations <= (strcmp(suite, GCM) ? 4u * PACKETS : 0u));
    srtp_context_free(out);
    srtp_context_free(in);
}
#endif

/* All keys of a call's life are let go of, whoever held them: the leak checker looks. */
static void test_many_contexts_come_and_go(void)
{
    for (int round = 0; round < 50; round++) {
        struct srtp_context *out = context(key_a, true), *in = context(key_a, false);
        uint8_t packet[MAX_PACKET];
        for (uint32_t ssrc = 1; ssrc < 20; ssrc++) {
            size_t length = sealed(out, packet, 1, ssrc);
            CHECK(srtp_open(in, false, packet, &length) == SRTP_TAKEN);
        }
        srtp_context_free(out);
        srtp_context_free(in);
    }
}

int main(void)
{
    srtp_set_up();
    for (int i = 0; (suite = srtp_suite(i)); i++) {
#ifdef __SANITIZE_ADDRESS__
        if (!i)
            CHECK(__sanitizer_install_malloc_and_free_hooks(count_allocation, count_nothing));
        test_a_packet_takes_no_memory_that_its_stream_has_not();
#endif
        test_many_contexts_come_and_go();
    }
    puts("ok");
    return 0;
}
