/* LD_PRELOAD shim: what a process does to the files below $POWERCUT_ROOT, in order, in $POWERCUT_LOG/<time>-<pid>.

   A change and its record are made under one lock, the record after the change: a process killed between the two has made
   a change that nobody recorded, and powercut.py takes it as lost, as an unsynced change may be. A sync has a record before
   it and one after it: what was recorded before the first is safe when the second is there. powercut.py tells the format.
   $POWERCUT_KILL: the process dies right after so many records, where a kill from outside would seldom hit. $POWERCUT_SYNC:
   microseconds that a sync takes longer, as on a disk slower than this one. */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], logs[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static uint64_t syncs, recorded, last;
static useconds_t slower;

struct __attribute__((packed)) head { char kind; uint64_t inode, number; uint32_t first, second; };

static void child(void) { pthread_mutex_init(&lock, NULL); log_fd = -1; }

__attribute__((constructor)) static void begin(void) {
  const char *r = getenv("POWERCUT_ROOT"), *l = getenv("POWERCUT_LOG");
  if (!r || !l || strlen(r) >= PATH_MAX || strlen(l) >= PATH_MAX - 64) return;
  strcpy(root, r);
  strcpy(logs, l);
  pthread_atfork(NULL, NULL, child);
  const char *k = getenv("POWERCUT_KILL"), *s = getenv("POWERCUT_SYNC");
  last = k ? strtoull(k, NULL, 10) : 0;
  slower = s ? (useconds_t)strtoul(s, NULL, 10) : 0;
  root_length = strlen(root);
}

static void fail(const char *words) {
  syscall(SYS_write, 2, words, strlen(words));
  abort();
}

/* With the lock held. */
static void record(char kind, uint64_t inode, uint64_t number, const void *first, size_t a, const void *second, size_t b) {
  int saved = errno;
  if (log_fd < 0) {
    char name[PATH_MAX + 64];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(name, sizeof name, "%s/%020lld-%d", logs, now.tv_sec * 1000000000LL + now.tv_nsec, (int)getpid());
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) fail("powercut: cannot write the log\n");
    log_fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900); /* out of the way of the numbers a program expects */
    if (log_fd < 0) log_fd = fd; else syscall(SYS_close, fd);
  }
  struct head head = {kind, inode, number, (uint32_t)a, (uint32_t)b};
  struct iovec parts[3] = {{&head, sizeof head}, {(void *)first, a}, {(void *)second, b}};
  if (syscall(SYS_writev, log_fd, parts, 3) != (ssize_t)(sizeof head + a + b)) fail("powercut: the log is short\n");
  if (++recorded == last) kill(getpid(), SIGKILL);
  errno = saved;
}

static int below(const char *path) {
  return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* The path of an open file, when it is one of ours. */
static int ours(int fd, char *path, struct stat *about) {
  if (!root_length || fd < 0) return 0;
  int saved = errno;
  char name[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, PATH_MAX - 1);
  int found = 0;
  if (length > 0) {
    path[length] = 0;
    found = below(path) && !fstat(fd, about);
  }
  errno = saved;
  return found;
}

/* An absolute path without links but for its last part; 0 when it is none of ours. */
static int named(int dir, const char *path, char *full) {
  if (!root_length || !path) return 0;
  int saved = errno, found = 0;
  char joined[2 * PATH_MAX + 2], parent[PATH_MAX] = "";
  if (path[0] != '/') {
    char name[40];
    snprintf(name, sizeof name, dir == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir);
    ssize_t length = readlink(name, parent, PATH_MAX - 1);
    parent[length > 0 ? length : 0] = 0;
  }
  snprintf(joined, sizeof joined, "%s%s%s", parent, path[0] == '/' ? "" : "/", path);
  char *last = strrchr(joined, '/');
  *last = 0;
  char clean[PATH_MAX];
  if (realpath(*joined ? joined : "/", clean)) {
    found = snprintf(full, PATH_MAX, "%s/%s", clean, last + 1) < PATH_MAX && below(full);
  }
  errno = saved;
  return found;
}

#define REAL(result, name, ...) \
  static result (*real)(__VA_ARGS__); \
  if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int opened(int dir, const char *path, int flags, mode_t mode) {
  char full[PATH_MAX];
  struct stat about;
  REAL(int, "openat64", int, const char *, int, ...);
  if (!named(dir, path, full)) return real(dir, path, flags, mode);
  pthread_mutex_lock(&lock);
  int fd = real(dir, path, flags, mode);
  if (fd >= 0 && ours(fd, full, &about) && S_ISREG(about.st_mode))
    record('O', about.st_ino, (flags & O_TRUNC) != 0, full, strlen(full), NULL, 0);
  pthread_mutex_unlock(&lock);
  return fd;
}

#define MODE mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE return opened(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE return opened(dir, path, flags | O_LARGEFILE, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int dir, const char *path, int flags) { return opened(dir, path, flags, 0); }
int __openat64_2(int dir, const char *path, int flags) { return opened(dir, path, flags, 0); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

ssize_t write(int fd, const void *data, size_t size) {
  char path[PATH_MAX];
  struct stat about;
  REAL(ssize_t, "write", int, const void *, size_t);
  if (!ours(fd, path, &about)) return real(fd, data, size);
  pthread_mutex_lock(&lock);
  ssize_t done = real(fd, data, size);
  if (done > 0) record('W', about.st_ino, (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), data, (size_t)done, NULL, 0);
  pthread_mutex_unlock(&lock);
  return done;
}

static ssize_t placed(int fd, const void *data, size_t size, off_t at) {
  char path[PATH_MAX];
  struct stat about;
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
  if (!ours(fd, path, &about)) return real(fd, data, size, at);
  pthread_mutex_lock(&lock);
  ssize_t done = real(fd, data, size, at);
  if (done > 0) record('W', about.st_ino, (uint64_t)at, data, (size_t)done, NULL, 0);
  pthread_mutex_unlock(&lock);
  return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return placed(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return placed(fd, data, size, at); }

/* A vector goes piece by piece, which its callers have to expect of a short write anyway. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
  char path[PATH_MAX];
  struct stat about;
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  if (!ours(fd, path, &about)) return real(fd, parts, count);
  for (int n = 0; n < count; n++)
    if (parts[n].iov_len) return write(fd, parts[n].iov_base, parts[n].iov_len);
  return 0;
}
static ssize_t placed_parts(int fd, const struct iovec *parts, int count, off_t at) {
  char path[PATH_MAX];
  struct stat about;
  REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off_t);
  if (!ours(fd, path, &about)) return real(fd, parts, count, at);
  for (int n = 0; n < count; n++)
    if (parts[n].iov_len) return placed(fd, parts[n].iov_base, parts[n].iov_len, at);
  return 0;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return placed_parts(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return placed_parts(fd, parts, count, at); }

static int cut(int fd, off_t size) {
  char path[PATH_MAX];
  struct stat about;
  REAL(int, "ftruncate64", int, off_t);
  if (!ours(fd, path, &about)) return real(fd, size);
  pthread_mutex_lock(&lock);
  int failed = real(fd, size);
  if (!failed) record('T', about.st_ino, (uint64_t)size, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  return failed;
}
int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off_t size) { return cut(fd, size); }

static int moved(int from, const char *old, int to, const char *new, unsigned flags) {
  char source[PATH_MAX], target[PATH_MAX];
  REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
  int a = named(from, old, source), b = named(to, new, target);
  if (!a && !b) return real(from, old, to, new, flags);
  pthread_mutex_lock(&lock);
  int failed = real(from, old, to, new, flags);
  if (!failed && a && b && !flags) record('R', 0, 0, source, strlen(source), target, strlen(target));
  else if (!failed) record('X', 0, 0, "rename into, out of or with flags", 33, NULL, 0);
  pthread_mutex_unlock(&lock);
  return failed;
}
int rename(const char *old, const char *new) { return moved(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return moved(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) { return moved(from, old, to, new, flags); }

static int removed(int dir, const char *path, int flags) {
  char full[PATH_MAX];
  REAL(int, "unlinkat", int, const char *, int);
  if (!named(dir, path, full)) return real(dir, path, flags);
  pthread_mutex_lock(&lock);
  int failed = real(dir, path, flags);
  if (!failed) record(flags & AT_REMOVEDIR ? 'D' : 'U', 0, 0, full, strlen(full), NULL, 0);
  pthread_mutex_unlock(&lock);
  return failed;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int dir, const char *path, int flags) { return removed(dir, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

static int made(int dir, const char *path, mode_t mode) {
  char full[PATH_MAX];
  REAL(int, "mkdirat", int, const char *, mode_t);
  if (!named(dir, path, full)) return real(dir, path, mode);
  pthread_mutex_lock(&lock);
  int failed = real(dir, path, mode);
  if (!failed) record('M', 0, 0, full, strlen(full), NULL, 0);
  pthread_mutex_unlock(&lock);
  return failed;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return made(dir, path, mode); }

static int synced(int fd, int (*real)(int)) {
  char path[PATH_MAX];
  struct stat about;
  if (!ours(fd, path, &about)) return real(fd);
  pthread_mutex_lock(&lock);
  uint64_t number = ++syncs;
  record(S_ISDIR(about.st_mode) ? 'b' : 'B', about.st_ino, number, path, strlen(path), NULL, 0);
  pthread_mutex_unlock(&lock);
  if (slower) usleep(slower);
  int failed = real(fd);
  if (!failed) {
    pthread_mutex_lock(&lock);
    record('E', 0, number, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
  }
  return failed;
}
int fsync(int fd) { REAL(int, "fsync", int); return synced(fd, real); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); return synced(fd, real); }
