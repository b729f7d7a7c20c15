/*
 * The floor under forkspec's wall time: the first suite with the bare system calls only, and every wait ideal. It
 * parses nothing, explains nothing, judges no other program than the reference, and does not look again after the last
 * step. ci/bench compiles it and compares.
 *
 *     floor FORKSPEC ROUNDS JOBS        prints the wall time of each round in milliseconds
 *
 * Exit code 0; 1 if anything is not as it has to be; 3 if the environment refuses namespaces.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 9877, REFUSED = 3, MOST = 128 };
/* Nothing here takes a second; after so many the round is lost. */
enum { PATIENCE_S = 20 };
/* net/tcp_states.h */
enum { GONE = 0, ESTABLISHED = 1, FIN_WAIT_2 = 5, TIME_WAIT = 6, CLOSE_WAIT = 8, LISTEN = 10 };

static const char *forkspec;
static const char *scenario = "set-up";

static void complain(const char *format, va_list words)
{
    fprintf(stderr, "floor: %s: ", scenario);
    vfprintf(stderr, format, words);
    fputc('\n', stderr);
}

static _Noreturn void die(const char *format, ...)
{
    va_list words;
    va_start(words, format);
    complain(format, words);
    _exit(1);
}

static _Noreturn void refuse(const char *what)
{
    fprintf(stderr, "floor: the environment refuses namespaces: %s: %s\n", what, strerror(errno));
    _exit(REFUSED);
}

static long must(long result, const char *call)
{
    if (result < 0)
        die("%s: %s", call, strerror(errno));
    return result;
}

static void out_of_patience(int number)
{
    (void)number;
    static const char text[] = "floor: a wait has lasted for too long\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(1);
}

/* ---- the stage ---- */

static void put(const char *path, const char *format, ...)
{
    char text[64];
    va_list words;
    va_start(words, format);
    int length = vsnprintf(text, sizeof text, format, words);
    va_end(words);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, length) != length)
        refuse(path);
    close(fd);
}

static void isolate(void)
{
    unsigned user = geteuid(), group = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        refuse("unshare");
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", "%u %u 1", user ? user : 1000, user);
    put("/proc/self/gid_map", "%u %u 1", group ? group : 1000, group);
}

static void set_stage(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        refuse("making mounts private");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        refuse("mounting /proc");
    int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        refuse("bringing up the loopback interface");
    close(fd);
}

static int diag = -1;

/* A netlink request without a dump: one message there, one back. Returns its type. */
static int ask(int fd, void *request, size_t length, char *answer, size_t room)
{
    must(send(fd, request, length, 0), "send to netlink");
    must(recv(fd, answer, room, 0), "recv from netlink");
    return ((struct nlmsghdr *)answer)->nlmsg_type;
}

/*
 * The kernel's own route for 127.0.0.1 with RTAX_QUICKACK: without it the acknowledgment of a FIN waits for 40 ms, and
 * with it the connection stays in FIN_WAIT_1. Two scenarios need FIN_WAIT_2.
 */
static void acknowledge_at_once(void)
{
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
        struct rtattr to_is; struct in_addr to;
        struct rtattr via_is; unsigned via;
        struct rtattr from_is; struct in_addr from;
        struct rtattr metrics; struct rtattr quick_is; unsigned quick;
    } request = {
        { sizeof request, RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, 0, 0 },
        { AF_INET, 32, 0, 0, RT_TABLE_LOCAL, RTPROT_KERNEL, RT_SCOPE_HOST, RTN_LOCAL, 0 },
        { 8, RTA_DST }, { htonl(INADDR_LOOPBACK) },
        { 8, RTA_OIF }, 1,
        { 8, RTA_PREFSRC }, { htonl(INADDR_LOOPBACK) },
        { 12, RTA_METRICS }, { 8, RTAX_QUICKACK }, 1,
    };
    _Alignas(16) char answer[256];
    int fd = must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket");
    if (ask(fd, &request, sizeof request, answer, sizeof answer) != NLMSG_ERROR || ((struct nlmsgerr *)(answer + 16))->error)
        die("the route of the loopback interface cannot be changed");
    close(fd);
}

/* ---- sockets ---- */

struct end { unsigned short local, remote; };

static struct end far_end(struct end near) { return (struct end){ near.remote, near.local }; }

/* The state of one socket on 127.0.0.1, looked up and not listed; its inode too. `remote` is 0 for a listener. */
static int socket_state(struct end end, unsigned *inode)
{
    struct { struct nlmsghdr header; struct inet_diag_req_v2 body; } request = {
        { sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0 },
        { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u,
          .id = { .idiag_sport = htons(end.local), .idiag_dport = htons(end.remote),
                  .idiag_src = { htonl(INADDR_LOOPBACK) }, .idiag_dst = { htonl(INADDR_LOOPBACK) },
                  .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
    };
    _Alignas(16) char answer[1024];
    if (diag < 0)
        diag = must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), "socket");
    if (ask(diag, &request, sizeof request, answer, sizeof answer) != SOCK_DIAG_BY_FAMILY)
        return GONE;
    struct inet_diag_msg *found = (struct inet_diag_msg *)(answer + sizeof(struct nlmsghdr));
    if (inode)
        *inode = found->idiag_inode;
    /* A connection that is gone is looked up like a new one: the listener is found. */
    return found->idiag_state == LISTEN && end.remote ? GONE : found->idiag_state;
}

/* For what the kernel is about to do by itself: segments on the loopback interface are delivered by a soft interrupt. */
static void await_state(struct end end, int state)
{
    while (socket_state(end, NULL) != state)
        sched_yield();
}

static void must_listen(void)
{
    if (socket_state((struct end){ PORT, 0 }, NULL) != LISTEN)
        die("the server does not listen");
}

struct peer { int fd; struct end end; };

static struct end name_of(int fd)
{
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    must(getsockname(fd, (struct sockaddr *)&name, &length), "getsockname");
    return (struct end){ ntohs(name.sin_port), PORT };
}

static struct peer connect_peer(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    must(connect(fd, (struct sockaddr *)&to, sizeof to), "connect");
    return (struct peer){ fd, { 0, 0 } };
}

static void give(int fd, const char *line)
{
    size_t length = strlen(line);
    if (write(fd, line, length) != (ssize_t)length)
        die("write: %s", strerror(errno));
}

static void take(int fd, const char *line)
{
    char text[256];
    size_t length = strlen(line), got = 0;
    while (got < length) {
        ssize_t some = must(read(fd, text + got, length - got), "read");
        if (some == 0)
            die("end of file instead of an echo");
        got += some;
    }
    if (memcmp(text, line, length))
        die("something else than the echo came");
}

static void take_end(int fd)
{
    char byte;
    if (must(read(fd, &byte, 1), "read") != 0)
        die("a byte instead of the end of file");
}

static void take_nothing(int fd)
{
    char byte;
    if (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
        die("something came that nobody has sent");
}

static void echo(int fd, const char *line)
{
    give(fd, line);
    take(fd, line);
}

/* ---- processes ---- */

struct program { pid_t pid; int in, out, err; };

static struct program start(const char *const *words)
{
    int in[2], out[2], err[2];
    must(pipe2(in, O_CLOEXEC), "pipe");
    must(pipe2(out, O_CLOEXEC), "pipe");
    must(pipe2(err, O_CLOEXEC), "pipe");
    pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        execv(forkspec, (char *const *)words);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    return (struct program){ pid, in[1], out[0], err[0] };
}

static struct program start_server(void)
{
    static const char *const words[] = { "forkspec", "reference", "server", "9877", NULL };
    struct program server = start(words);
    while (socket_state((struct end){ PORT, 0 }, NULL) != LISTEN) {
        if (waitpid(server.pid, NULL, WNOHANG) != 0)
            die("the server has ended");
        sched_yield();
    }
    return server;
}

static struct program start_client(void)
{
    static const char *const words[] = { "forkspec", "reference", "client", "127.0.0.1", "9877", NULL };
    return start(words);
}

static void must_run(struct program program)
{
    if (waitpid(program.pid, NULL, WNOHANG) != 0)
        die("process %d has ended", program.pid);
}

static int status_of(struct program program)
{
    int status;
    must(waitpid(program.pid, &status, 0), "waitpid");
    return status;
}

static void must_exit_with_0(struct program program)
{
    int status = status_of(program);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("process %d has ended with status %#x", program.pid, status);
}

static int pidfd_of(pid_t pid) { return must(syscall(SYS_pidfd_open, pid, 0), "pidfd_open"); }

/* A zombie is a child too. In the order of their birth. */
static int children(struct program program, pid_t *list)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", program.pid, program.pid);
    int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
    ssize_t length = must(read(fd, text, sizeof text - 1), path);
    close(fd);
    text[length] = 0;
    int count = 0;
    char *at = text, *after;
    for (long pid; count < MOST && (pid = strtol(at, &after, 10), after != at); at = after)
        list[count++] = pid;
    return count;
}

static void must_have_children(struct program server, int wanted)
{
    pid_t list[MOST];
    int count = children(server, list);
    if (count != wanted)
        die("the server has %d children instead of %d", count, wanted);
}

/* The handlers of clients that were served, one each. */
static void handlers(struct program server, pid_t *list, int wanted)
{
    int count = children(server, list);
    if (count != wanted)
        die("the server has %d handlers instead of %d", count, wanted);
}

static void until_zombie(int pidfd)
{
    struct pollfd end = { pidfd, POLLIN, 0 };
    must(poll(&end, 1, -1), "poll");
}

/* The kernel tells since 6.9 that a process was reaped; an older one is asked every millisecond. */
static void until_reaped(pid_t pid, int pidfd)
{
    struct pollfd end = { pidfd, 0, 0 };
    while (must(poll(&end, 1, 1), "poll") == 0 && kill(pid, 0) == 0)
        ;
    close(pidfd);
}

static char state_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
    ssize_t length = must(read(fd, text, sizeof text - 1), path);
    close(fd);
    text[length] = 0;
    char *name = strrchr(text, ')');
    return name ? name[2] : '?';
}

/* The number of open descriptors; whether one of them is this socket goes to `holds`. */
static int descriptors(pid_t pid, unsigned inode, int *holds)
{
    char path[64], wanted[32], link[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    snprintf(wanted, sizeof wanted, "socket:[%u]", inode);
    DIR *folder = opendir(path);
    if (!folder)
        die("%s: %s", path, strerror(errno));
    int count = 0;
    if (holds)
        *holds = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (!holds)
            continue;
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        link[length < 0 ? 0 : length] = 0;
        *holds |= strcmp(link, wanted) == 0;
    }
    closedir(folder);
    return count;
}

static void must_hold(pid_t pid, unsigned inode, int wanted)
{
    int holds;
    descriptors(pid, inode, &holds);
    if (holds != wanted)
        die("process %d %s socket %u", pid, holds ? "holds" : "lacks", inode);
}

/* The client's end of its connection: its socket is asked for its name, and let go at once. */
static int client_end(struct program client, struct end *end)
{
    int pidfd = pidfd_of(client.pid), found = 0;
    for (int number = 3; number < 8 && !found; number++) {
        int copy = syscall(SYS_pidfd_getfd, pidfd, number, 0);
        if (copy < 0)
            continue;
        struct sockaddr_in to;
        socklen_t length = sizeof to;
        if (getpeername(copy, (struct sockaddr *)&to, &length) == 0 && ntohs(to.sin_port) == PORT) {
            *end = name_of(copy);
            found = 1;
        }
        close(copy);
    }
    close(pidfd);
    return found;
}

static struct end connected_end(struct program client)
{
    struct end end;
    if (!client_end(client, &end))
        die("the client is not connected");
    if (socket_state(end, NULL) != ESTABLISHED)
        die("the client's connection is not established");
    return end;
}

/* ---- the scenarios ---- */

static void server_listens(void)
{
    struct program server = start_server();
    must_have_children(server, 0);
    struct peer c1 = connect_peer();
    await_state(name_of(c1.fd), ESTABLISHED);
}

static void connect_makes_an_established_pair(void)
{
    struct program server = start_server(), client = start_client();
    struct end end;
    while (!client_end(client, &end)) {
        must_run(client);
        sched_yield();
    }
    await_state(end, ESTABLISHED);
    await_state(far_end(end), ESTABLISHED);
    unsigned inode = 0;
    int owned = 0;
    while (!owned) {
        /* Not accepted yet: the socket has no inode. */
        socket_state(far_end(end), &inode);
        if (inode)
            descriptors(server.pid, inode, &owned);
        pid_t list[MOST];
        if (inode && !owned && children(server, list) == 1)
            descriptors(list[0], inode, &owned);
        if (!owned)
            sched_yield();
    }
    must_listen();
}

static void one_line_through_the_client(void)
{
    start_server();
    struct program client = start_client();
    give(client.in, "hello, world\n");
    take(client.out, "hello, world\n");
    give(client.in, "and a second line\n");
    take(client.out, "and a second line\n");
}

static void three_clients_interleaved(void)
{
    start_server();
    struct peer c1 = connect_peer(), c2 = connect_peer(), c3 = connect_peer();
    echo(c3.fd, "from the third\n");
    give(c1.fd, "from the first\n");
    give(c2.fd, "from the second\n");
    take(c2.fd, "from the second\n");
    take(c1.fd, "from the first\n");
    echo(c3.fd, "once more\n");
    take_nothing(c1.fd);
    take_nothing(c2.fd);
    take_nothing(c3.fd);
}

static void end_of_file_ends_the_client(void)
{
    start_server();
    struct program client = start_client();
    give(client.in, "last words\n");
    take(client.out, "last words\n");
    struct end end = connected_end(client);
    close(client.in);
    must_exit_with_0(client);
    await_state(end, TIME_WAIT);
    await_state(far_end(end), GONE);
    must_listen();
}

static void close_wait_while_the_handler_is_stopped(void)
{
    acknowledge_at_once();
    struct program server = start_server(), client = start_client();
    give(client.in, "hello\n");
    take(client.out, "hello\n");
    struct end end = connected_end(client);
    if (socket_state(far_end(end), NULL) != ESTABLISHED)
        die("the server's end is not established");
    pid_t handler;
    handlers(server, &handler, 1);
    must(kill(handler, SIGSTOP), "kill");
    while (toupper(state_of(handler)) != 'T') /* 't' if somebody traces us */
        sched_yield();
    close(client.in);
    await_state(end, FIN_WAIT_2);
    await_state(far_end(end), CLOSE_WAIT);
    must(kill(handler, SIGCONT), "kill");
    must_exit_with_0(client);
    await_state(end, TIME_WAIT);
    await_state(far_end(end), GONE);
}

/* Closes a client's end and waits until its handler is reaped. */
static void leave(struct peer peer, pid_t handler)
{
    int pidfd = pidfd_of(handler);
    close(peer.fd);
    until_reaped(handler, pidfd);
}

static void child_is_reaped(void)
{
    struct program server = start_server();
    struct peer c1 = connect_peer();
    echo(c1.fd, "hello\n");
    pid_t handler;
    handlers(server, &handler, 1);
    leave(c1, handler);
    struct peer c2 = connect_peer();
    echo(c2.fd, "hello\n");
    must_have_children(server, 1);
    must_listen();
}

static void five_clients_leave_at_once(void)
{
    struct program server = start_server();
    struct peer peers[5];
    pid_t list[MOST];
    int pidfds[5], status;
    for (int i = 0; i < 5; i++)
        peers[i] = connect_peer();
    for (int i = 0; i < 5; i++)
        give(peers[i].fd, "hello\n");
    for (int i = 0; i < 5; i++)
        take(peers[i].fd, "hello\n");
    handlers(server, list, 5);
    for (int i = 0; i < 5; i++)
        pidfds[i] = pidfd_of(list[i]);
    must(kill(server.pid, SIGSTOP), "kill");
    must(waitpid(server.pid, &status, WUNTRACED), "waitpid");
    if (!WIFSTOPPED(status))
        die("the server is not stopped");
    for (int i = 0; i < 5; i++)
        close(peers[i].fd);
    for (int i = 0; i < 5; i++)
        until_zombie(pidfds[i]);
    must(kill(server.pid, SIGCONT), "kill");
    for (int i = 0; i < 5; i++)
        until_reaped(list[i], pidfds[i]);
    struct peer c6 = connect_peer();
    echo(c6.fd, "hello\n");
    must_have_children(server, 1);
}

static void sigchld_does_not_end_accept(void)
{
    struct program server = start_server();
    struct peer c1 = connect_peer(), c2 = connect_peer();
    pid_t list[MOST];
    give(c1.fd, "hello\n");
    give(c2.fd, "hello\n");
    take(c1.fd, "hello\n");
    take(c2.fd, "hello\n");
    handlers(server, list, 2);
    leave(c1, list[0]);
    must_run(server);
    must_listen();
    leave(c2, list[1]);
    struct peer c3 = connect_peer();
    echo(c3.fd, "still there?\n");
}

static void client_is_killed(void)
{
    struct program server = start_server(), client = start_client();
    give(client.in, "hello\n");
    take(client.out, "hello\n");
    struct end end = connected_end(client);
    pid_t handler;
    handlers(server, &handler, 1);
    int pidfd = pidfd_of(handler);
    must(kill(client.pid, SIGKILL), "kill");
    int status = status_of(client);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        die("the client was not killed");
    until_reaped(handler, pidfd);
    await_state(far_end(end), GONE);
    struct peer c1 = connect_peer();
    echo(c1.fd, "hello\n");
    must_have_children(server, 1);
    must_listen();
}

static void server_child_is_killed(void)
{
    acknowledge_at_once();
    struct program server = start_server(), client = start_client();
    give(client.in, "hello\n");
    take(client.out, "hello\n");
    struct end end = connected_end(client);
    pid_t handler;
    handlers(server, &handler, 1);
    int pidfd = pidfd_of(handler);
    must(kill(handler, SIGKILL), "kill");
    until_reaped(handler, pidfd);
    await_state(end, CLOSE_WAIT);
    await_state(far_end(end), FIN_WAIT_2);
    give(client.in, "anybody there?\n");
    int status = status_of(client);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 0)
        die("the client has not failed");
    char text[512];
    ssize_t length = must(read(client.err, text, sizeof text - 1), "read");
    text[length] = 0;
    if (!strstr(text, "terminated"))
        die("the client does not say that the server has terminated");
    struct peer c1 = connect_peer();
    echo(c1.fd, "hello\n");
    must_have_children(server, 1);
    must_listen();
}

static void killed_handler_ends_its_connection_only(void)
{
    struct program server = start_server();
    struct peer c1 = connect_peer(), c2 = connect_peer();
    pid_t list[MOST];
    give(c1.fd, "hello\n");
    give(c2.fd, "hello\n");
    take(c1.fd, "hello\n");
    take(c2.fd, "hello\n");
    handlers(server, list, 2);
    int pidfd = pidfd_of(list[0]);
    must(kill(list[0], SIGKILL), "kill");
    take_end(c1.fd);
    await_state(name_of(c1.fd), CLOSE_WAIT);
    echo(c2.fd, "still there?\n");
    until_reaped(list[0], pidfd);
    struct peer c3 = connect_peer();
    echo(c3.fd, "hello\n");
    must_have_children(server, 2);
    must_listen();
}

static void parent_closes_the_connected_socket(void)
{
    struct program server = start_server();
    struct peer c1 = connect_peer();
    echo(c1.fd, "hello\n");
    unsigned inode = 0;
    if (socket_state(far_end(name_of(c1.fd)), &inode) != ESTABLISHED)
        die("the server's end is not established");
    /* It may be about to close it. */
    for (int holds = 1; holds;) {
        descriptors(server.pid, inode, &holds);
        if (holds)
            sched_yield();
    }
    must(shutdown(c1.fd, SHUT_WR), "shutdown");
    take_end(c1.fd);
}

static void child_closes_the_listening_socket(void)
{
    struct program server = start_server();
    struct peer c1 = connect_peer(), c2 = connect_peer();
    pid_t list[MOST];
    give(c1.fd, "hello\n");
    give(c2.fd, "hello\n");
    take(c1.fd, "hello\n");
    take(c2.fd, "hello\n");
    unsigned inode = 0;
    socket_state((struct end){ PORT, 0 }, &inode);
    handlers(server, list, 2);
    must_hold(list[0], inode, 0);
    must_hold(list[1], inode, 0);
    must_hold(server.pid, inode, 1);
}

static void visit(struct program server)
{
    struct peer peer = connect_peer();
    echo(peer.fd, "visitor\n");
    pid_t handler;
    handlers(server, &handler, 1);
    leave(peer, handler);
}

static void baseline_after_a_hundred_clients(void)
{
    struct program server = start_server();
    visit(server);
    int before = descriptors(server.pid, 0, NULL);
    for (int i = 0; i < 100; i++)
        visit(server);
    int after = descriptors(server.pid, 0, NULL);
    if (after != before)
        die("the server has %d descriptors instead of %d", after, before);
    must_have_children(server, 0);
}

/* The longest one first: then the jobs end at about the same time. */
static const struct { const char *id; void (*play)(void); } SCENARIOS[] = {
    { "descriptors/baseline-after-a-hundred-clients", baseline_after_a_hundred_clients },
    { "crash/server-child-is-killed", server_child_is_killed },
    { "termination/close-wait-while-the-handler-is-stopped", close_wait_while_the_handler_is_stopped },
    { "crash/client-is-killed", client_is_killed },
    { "termination/end-of-file-ends-the-client", end_of_file_ends_the_client },
    { "echo/one-line-through-the-client", one_line_through_the_client },
    { "startup/connect-makes-an-established-pair", connect_makes_an_established_pair },
    { "termination/five-clients-leave-at-once", five_clients_leave_at_once },
    { "termination/sigchld-does-not-end-accept", sigchld_does_not_end_accept },
    { "crash/killed-handler-ends-its-connection-only", killed_handler_ends_its_connection_only },
    { "termination/child-is-reaped", child_is_reaped },
    { "concurrency/three-clients-interleaved", three_clients_interleaved },
    { "descriptors/child-closes-the-listening-socket", child_closes_the_listening_socket },
    { "descriptors/parent-closes-the-connected-socket", parent_closes_the_connected_socket },
    { "startup/server-listens", server_listens },
};
enum { COUNT = sizeof SCENARIOS / sizeof *SCENARIOS };

/* ---- the rounds ---- */

/* What a process that we wait for makes of its end: our own end, if it is not 0. */
static void pass_on(pid_t pid)
{
    int status;
    must(waitpid(pid, &status, 0), "waitpid");
    if (!WIFEXITED(status))
        die("a process of the floor was ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status))
        _exit(WEXITSTATUS(status));
}

static void play(int number)
{
    scenario = SCENARIOS[number].id;
    pid_t stage = must(fork(), "fork");
    if (stage > 0) {
        pass_on(stage);
        return;
    }
    isolate();
    pid_t init = must(fork(), "fork");
    if (init > 0) {
        pass_on(init);
        _exit(0);
    }
    /* With a handler: signals that have none do not end the first process of a namespace. */
    signal(SIGALRM, out_of_patience);
    alarm(PATIENCE_S);
    set_stage();
    SCENARIOS[number].play();
    /* The kernel kills whatever is left. */
    _exit(0);
}

static void play_round(int jobs, int *next)
{
    pid_t workers[64];
    *next = 0;
    for (int i = 0; i < jobs; i++) {
        workers[i] = must(fork(), "fork");
        if (workers[i] > 0)
            continue;
        for (int number; (number = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < COUNT;)
            play(number);
        _exit(0);
    }
    for (int i = 0; i < jobs; i++)
        pass_on(workers[i]);
}

int main(int argc, char **argv)
{
    int rounds = argc == 4 ? atoi(argv[2]) : 0, jobs = argc == 4 ? atoi(argv[3]) : 0;
    if (rounds < 1 || jobs < 1 || jobs > 64) {
        fputs("usage: floor FORKSPEC ROUNDS JOBS\n", stderr);
        return 1;
    }
    forkspec = argv[1];
    int *next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (next == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    for (int i = 0; i < rounds; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        play_round(jobs, next);
        clock_gettime(CLOCK_MONOTONIC, &to);
        printf("%.2f\n", (to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6);
        fflush(stdout);
    }
    return 0;
}
