// SPDX-License-Identifier: Apache-2.0
/* What the kernel says to a batch, and counters, as if somebody else had written them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/nftmsg.h"
#include "agent/net/nlbatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_message(const struct nlmsghdr *h)
{
    struct nftset_count count = {0};
    const char *name = NULL;

    if (nftmsg_counter(h, &name, &count)) {
        assert(strlen(name) < h->nlmsg_len);
    }
    (void)nftmsg_element_count(h, &count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nftmsg_result result = {0};
    struct nlmsghdr *bytes = malloc(size + 1);
    const struct nlmsghdr *h = bytes;
    int left = (int)size;

    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes, data, size);
    nftmsg_answers(bytes, size, 7, 3, &result);
    assert(result.code <= 0 && result.code > -4096);
    assert(result.code == 0 || result.code_seq - 7 < 3);
    assert(result.answered <= size / sizeof(struct nlmsgerr));
    for (; nlbatch_is_message(h, left); h = mnl_nlmsg_next(h, &left)) {
        read_message(h);
    }
    free(bytes);
    return 0;
}
