// SPDX-License-Identifier: Apache-2.0
/* Netlink: a request is built, sent, and its answer waited for. */
#include <errno.h>
#include <linux/genetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"

static struct nlmsghdr *head(struct request *r)
{
	return (struct nlmsghdr *)r->octets;
}

static void *grow(struct request *r, size_t len)
{
	struct nlmsghdr *h = head(r);
	size_t at = NLMSG_ALIGN(h->nlmsg_len);

	if (at + NLMSG_ALIGN(len) > sizeof(r->octets))
		die("a netlink request is too long");
	memset(r->octets + at, 0, NLMSG_ALIGN(len));
	h->nlmsg_len = at + len;
	return r->octets + at;
}

struct nlmsghdr *nl_begin(struct request *r, uint16_t type, uint16_t flags, size_t header)
{
	struct nlmsghdr *h = head(r);

	memset(h, 0, sizeof(*h));
	h->nlmsg_len = sizeof(*h);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	grow(r, header);
	return h;
}

void nl_put(struct request *r, uint16_t type, const void *data, size_t len)
{
	struct nlattr *a = grow(r, NLA_HDRLEN + len);

	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + len;
	if (len)
		memcpy((char *)a + NLA_HDRLEN, data, len);
}

void nl_put_u8(struct request *r, uint16_t type, uint8_t value)
{
	nl_put(r, type, &value, sizeof(value));
}

void nl_put_u16(struct request *r, uint16_t type, uint16_t value)
{
	nl_put(r, type, &value, sizeof(value));
}

void nl_put_u32(struct request *r, uint16_t type, uint32_t value)
{
	nl_put(r, type, &value, sizeof(value));
}

void nl_put_text(struct request *r, uint16_t type, const char *text)
{
	nl_put(r, type, text, strlen(text) + 1);
}

size_t nl_nest(struct request *r, uint16_t type)
{
	size_t at = NLMSG_ALIGN(head(r)->nlmsg_len);

	nl_put(r, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void nl_end(struct request *r, size_t nest)
{
	struct nlattr *a = (struct nlattr *)(r->octets + nest);

	a->nla_len = head(r)->nlmsg_len - nest;
}

int nl_open(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		die("netlink socket: %s", strerror(errno));
	return fd;
}

/* One message; the kernel sends the acknowledgement behind what was asked for. */
static struct nlmsghdr *receive(int fd, struct request *answer, const char *what)
{
	ssize_t got = recv(fd, answer->octets, sizeof(answer->octets), 0);

	if (got < (ssize_t)sizeof(struct nlmsghdr))
		die("%s: no answer: %s", what, strerror(errno));
	return head(answer);
}

static void acknowledged(const struct nlmsghdr *h, const char *what)
{
	const struct nlmsgerr *e = NLMSG_DATA(h);

	if (h->nlmsg_type != NLMSG_ERROR)
		die("%s: an answer that was not expected", what);
	if (e->error)
		die("%s: %s", what, strerror(-e->error));
}

static void transmit(int fd, struct request *r, const char *what)
{
	if (send(fd, r->octets, head(r)->nlmsg_len, 0) < 0)
		die("%s: %s", what, strerror(errno));
}

void nl_do(int fd, struct request *r, const char *what)
{
	struct request answer;
	struct nlmsghdr *h;

	transmit(fd, r, what);
	/* what a new thing became is told before the acknowledgement */
	do
		h = receive(fd, &answer, what);
	while (h->nlmsg_type != NLMSG_ERROR);
	acknowledged(h, what);
}

uint16_t nl_family(int fd, const char *name)
{
	struct request r, answer;
	struct genlmsghdr *g;
	struct nlmsghdr *h;
	uint16_t id = 0;

	h = nl_begin(&r, GENL_ID_CTRL, 0, sizeof(*g));
	g = NLMSG_DATA(h);
	g->cmd = CTRL_CMD_GETFAMILY;
	g->version = 1;
	nl_put_text(&r, CTRL_ATTR_FAMILY_NAME, name);
	transmit(fd, &r, name);
	h = receive(fd, &answer, name);
	if (h->nlmsg_type == NLMSG_ERROR)
		die("%s: no such family; is the module loaded?", name);
	for (size_t at = NLMSG_LENGTH(sizeof(*g)); at + NLA_HDRLEN <= h->nlmsg_len;) {
		const struct nlattr *a = (void *)(answer.octets + at);

		if (a->nla_type == CTRL_ATTR_FAMILY_ID)
			memcpy(&id, (const char *)a + NLA_HDRLEN, sizeof(id));
		at += NLA_ALIGN(a->nla_len);
	}
	acknowledged(receive(fd, &answer, name), name);
	return id;
}
