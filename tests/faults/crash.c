/* Ends a process at the N-th of its writes to a database, for the crash matrix: loaded in front of the C library
 * (LD_PRELOAD). CRASH_AT says at which; CRASH_HOW says how:
 *   kill   before the write, as `kill -9` would;
 *   torn   in the middle of it;
 *   power  before it, and what was not made durable since the last sync of its file is lost, each write or not as
 *          CRASH_SEED decides: what a disk that loses its power may do.
 * CRASH_COUNT names a file for the number of writes of a run that was not ended. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off64_t);
typedef int (*sync_fn)(int);
typedef int (*truncate_fn)(int, off64_t);

/* What a write took the place of, so that it can be lost. */
struct undo {
  char path[512];
  off64_t at, size_before;
  size_t length, kept;
  char *old;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct undo *undos;
static size_t undo_count;
static long seen;

static long number(const char *name) {
  const char *text = getenv(name);
  return text ? atol(text) : 0;
}

static int is(const char *how) {
  const char *wanted = getenv("CRASH_HOW");
  return wanted && !strcmp(wanted, how);
}

/* The path of a database's file or log; its shared memory is made anew by whoever opens it. */
static int watched(int fd, char *path, size_t room) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, room - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return strstr(path, ".db") != NULL && strstr(path, "-shm") == NULL;
}

static void end(void) {
  if (is("power")) {
    pwrite_fn put = (pwrite_fn)dlsym(RTLD_NEXT, "pwrite64");
    truncate_fn cut = (truncate_fn)dlsym(RTLD_NEXT, "ftruncate64");
    unsigned long seed = (unsigned long)number("CRASH_SEED");
    for (size_t i = undo_count; i-- > 0;) {
      struct undo *undo = &undos[i];
      /* A seed of 0 loses all of them. */
      unsigned long mixed = (seed + i) * 0x9e3779b97f4a7c15UL;
      if (seed && (mixed >> 33 & 1)) continue;
      int fd = open(undo->path, O_RDWR);
      if (fd < 0) continue;
      if (undo->kept) put(fd, undo->old, undo->kept, undo->at);
      struct stat64 now;
      if (!fstat64(fd, &now) && now.st_size > undo->size_before && undo->at + (off64_t)undo->length > undo->size_before)
        cut(fd, undo->size_before);
      close(fd);
    }
  }
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static void remember(int fd, const char *path, off64_t at, size_t length) {
  if (!is("power")) return;
  struct stat64 now;
  if (fstat64(fd, &now)) return;
  undos = realloc(undos, (undo_count + 1) * sizeof *undos);
  struct undo *undo = &undos[undo_count++];
  memset(undo, 0, sizeof *undo);
  snprintf(undo->path, sizeof undo->path, "%s", path);
  undo->at = at;
  undo->length = length;
  undo->size_before = now.st_size;
  undo->old = malloc(length ? length : 1);
  int again = open(path, O_RDONLY);
  ssize_t kept = again >= 0 ? pread64(again, undo->old, length, at) : 0;
  if (again >= 0) close(again);
  undo->kept = kept > 0 ? (size_t)kept : 0;
}

static void forget(const char *path) {
  size_t left = 0;
  for (size_t i = 0; i < undo_count; i++) {
    if (strcmp(undos[i].path, path)) undos[left++] = undos[i];
    else free(undos[i].old);
  }
  undo_count = left;
}

/* Counts a write; whether it is the one. */
static int is_the_one(void) { return ++seen == number("CRASH_AT"); }

static ssize_t put_at(int fd, const void *data, size_t length, off64_t at, const char *path) {
  pwrite_fn put = (pwrite_fn)dlsym(RTLD_NEXT, "pwrite64");
  if (is_the_one()) {
    if (is("torn")) put(fd, data, length / 2, at);
    end();
  }
  remember(fd, path, at, length);
  return put(fd, data, length, at);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
  char path[512];
  if (!watched(fd, path, sizeof path))
    return ((pwrite_fn)dlsym(RTLD_NEXT, "pwrite64"))(fd, data, length, at);
  pthread_mutex_lock(&lock);
  ssize_t done = put_at(fd, data, length, at, path);
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

ssize_t write(int fd, const void *data, size_t length) {
  write_fn put = (write_fn)dlsym(RTLD_NEXT, "write");
  char path[512];
  if (!watched(fd, path, sizeof path)) return put(fd, data, length);
  pthread_mutex_lock(&lock);
  off64_t at = lseek64(fd, 0, SEEK_CUR);
  ssize_t done = put_at(fd, data, length, at, path);
  if (done > 0) lseek64(fd, at + done, SEEK_SET);
  pthread_mutex_unlock(&lock);
  return done;
}

static int sync_by(const char *name, int fd) {
  sync_fn sync = (sync_fn)dlsym(RTLD_NEXT, name);
  char path[512];
  if (!watched(fd, path, sizeof path)) return sync(fd);
  pthread_mutex_lock(&lock);
  if (is_the_one()) end();
  int done = sync(fd);
  if (!done) forget(path);
  pthread_mutex_unlock(&lock);
  return done;
}

int fsync(int fd) { return sync_by("fsync", fd); }
int fdatasync(int fd) { return sync_by("fdatasync", fd); }

int ftruncate64(int fd, off64_t size) {
  truncate_fn cut = (truncate_fn)dlsym(RTLD_NEXT, "ftruncate64");
  char path[512];
  if (!watched(fd, path, sizeof path)) return cut(fd, size);
  pthread_mutex_lock(&lock);
  if (is_the_one()) end();
  struct stat64 now;
  if (!fstat64(fd, &now) && now.st_size > size) remember(fd, path, size, (size_t)(now.st_size - size));
  int done = cut(fd, size);
  pthread_mutex_unlock(&lock);
  return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

__attribute__((destructor)) static void count(void) {
  const char *path = getenv("CRASH_COUNT");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (file) {
    fprintf(file, "%ld\n", seen);
    fclose(file);
  }
}
