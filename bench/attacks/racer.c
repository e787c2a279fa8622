/*
 * A process of another user that places links, folders and FIFOs at the names that a script of root
 * uses, until SIGTERM or a deadline. Started by bench/attacks/race.py.
 *
 *   racer UID GID TRICK WHEN SECONDS FILE FOLDER ABSENT   names on stdin, one per line, parents first
 *
 * TRICK: file, folder, dangling (symbolic links), hard, fifo, directory, exchange.
 * WHEN: keep (always), appear (in place of a name that another process created), once.
 * FILE, FOLDER: canaries of root. ABSENT: a folder of root in which nothing may be created.
 *
 * Prints a line `NAME PLANTED REFUSED` per name at the end; REFUSED counts the hard links that the
 * kernel refused. The last component of a name may be a shell pattern.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST 512
#define GONE ".raced-"

static volatile sig_atomic_t ended;
static char *names[MOST];
static long planted[MOST], refused[MOST];
static int count;
static const char *trick, *file, *folder, *absent;
static unsigned long serial;

static void end(int number) {
  (void)number;
  ended = 1;
}

static const char *base(const char *path) { return strrchr(path, '/') + 1; }

static void beside(char *out, const char *path, const char *kind) {
  snprintf(out, PATH_MAX, "%.*s" GONE "%s-%lu-%d", (int)(base(path) - path), path, kind, ++serial,
           getpid());
}

/* Create the entry for PATH under another name beside it. */
static int make(const char *path, const char *temporary, int index) {
  char text[2 * PATH_MAX];
  if (!strcmp(trick, "file")) return symlink(file, temporary);
  if (!strcmp(trick, "folder") || !strcmp(trick, "exchange")) return symlink(folder, temporary);
  if (!strcmp(trick, "dangling")) {
    snprintf(text, sizeof text, "%s/%s", absent, base(path));
    return symlink(text, temporary);
  }
  if (!strcmp(trick, "hard")) {
    if (!link(file, temporary)) return 0;
    refused[index]++;
    return -1;
  }
  if (!strcmp(trick, "fifo")) return mkfifo(temporary, 0666);
  /* A folder of the attacker in which every name of the script is a link. */
  if (mkdir(temporary, 0777)) return -1;
  for (int other = 0; other < count; other++) {
    if (strpbrk(base(names[other]), "*?[")) continue;
    snprintf(text, sizeof text, "%s/%s", temporary, base(names[other]));
    if (symlink(other % 2 ? file : folder, text)) { /* two names may be equal */ }
  }
  return 0;
}

static int is_planted(const struct stat *there) {
  if (there->st_uid != getuid()) return 0;
  if (!strcmp(trick, "fifo")) return S_ISFIFO(there->st_mode);
  if (!strcmp(trick, "directory")) return S_ISDIR(there->st_mode);
  return S_ISLNK(there->st_mode);
}

static void plant(const char *path, int index) {
  char temporary[PATH_MAX];
  struct stat there;
  beside(temporary, path, "new");
  if (make(path, temporary, index)) return;
  int failed = lstat(path, &there) ? rename(temporary, path)
                                   : renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE);
  if (!failed) planted[index]++;
  /* Remove the previous entry; a folder is renamed. */
  if (failed || !strcmp(trick, "hard")) unlink(temporary);
  else if (!lstat(temporary, &there) && !S_ISDIR(there.st_mode)) unlink(temporary);
}

/* Exchange the name with a link; repeated calls alternate between both. */
static void exchange(const char *path, int index) {
  char other[PATH_MAX];
  struct stat there;
  snprintf(other, sizeof other, "%.*s" GONE "swap-%d", (int)(base(path) - path), path, index);
  if (lstat(path, &there)) return;
  if (lstat(other, &there) && symlink(S_ISDIR(there.st_mode) ? folder : file, other)) return;
  if (!renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_EXCHANGE)) planted[index]++;
}

static void act(const char *path, int index, int appear) {
  struct stat there;
  if (!strcmp(trick, "exchange")) {
    exchange(path, index);
    return;
  }
  int missing = lstat(path, &there) != 0;
  if (appear ? !missing && !is_planted(&there) : missing || !is_planted(&there)) plant(path, index);
}

/* A pattern: every matching name. */
static void act_on_pattern(const char *pattern, int index) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%.*s", (int)(base(pattern) - pattern - 1), pattern);
  DIR *open = opendir(path);
  if (!open) return;
  for (struct dirent *entry; (entry = readdir(open));) {
    if (!strncmp(entry->d_name, GONE, strlen(GONE)) || fnmatch(base(pattern), entry->d_name, 0)) continue;
    snprintf(path, sizeof path, "%.*s%s", (int)(base(pattern) - pattern), pattern, entry->d_name);
    act(path, index, 1);
  }
  closedir(open);
}

static void once_over(int appear) {
  for (int index = 0; index < count && !ended; index++) {
    if (strpbrk(base(names[index]), "*?[")) act_on_pattern(names[index], index);
    else act(names[index], index, appear);
  }
}

int main(int argc, char **argv) {
  char line[PATH_MAX];
  if (argc != 9) return 2;
  trick = argv[3];
  file = argv[6];
  folder = argv[7];
  absent = argv[8];
  while (count < MOST && fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    names[count++] = strdup(line);
  }
  if (setgroups(0, NULL) || setgid(atoi(argv[2])) || setuid(atoi(argv[1])) || !setuid(0)) return 3;
  umask(0);
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGALRM, &action, NULL);
  alarm(atoi(argv[5]));
  int appear = !strcmp(argv[4], "appear"), once = !strcmp(argv[4], "once");
  once_over(appear);
  puts("ready");
  fflush(stdout);
  /* After a short sleep, the scheduler runs this process promptly, also on a busy machine. */
  struct timespec little = {.tv_nsec = 10000};
  while (!ended) {
    if (once) {
      pause();
      continue;
    }
    once_over(appear);
    nanosleep(&little, NULL);
  }
  for (int index = 0; index < count; index++)
    printf("%s\t%ld\t%ld\n", names[index], planted[index], refused[index]);
  return 0;
}
