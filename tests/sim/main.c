/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Runs worlds, each in a process of its own. What fails is made smaller for as
 * long as it still fails, and shown. */

#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

/* s of real time that a world may take. */
#define PATIENCE 120

/* Tries to make a failure smaller. */
#define TRIES 200

/* Lines of a trace that are shown: the last that mention somebody who failed,
 * and the last of all. */
#define LINES_ABOUT 60
#define LINES_LAST 20

/* Longer traces are shown by their end alone. */
#define LINES_MOST 1000000

/* Names in what is said of a failure. */
#define NAMES 8

/* What a process says of its world. */
struct result {
  struct trace_found found;
  struct tally tally;
  bool done;
};

static struct options {
  uint64_t steps; /* 0: as the seed has it */
  unsigned clients;
  unsigned streams;
  uint32_t without; /* features */
  uint64_t minutes;
  bool print;
  bool twice;
  bool keep; /* do not shrink */
} options;

static struct tally sum;
static uint64_t worlds;

/* --- One world -------------------------------------------------------------*/

static struct result *make_result(void) {
  struct result *result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (result == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  return result;
}

/* The lines of its trace go to a file, unless NULL. */
static pid_t start(const struct plan *plan, struct result *result,
                   FILE *lines) {
  pid_t pid;

  fflush(NULL);
  memset(result, 0, sizeof *result);
  pid = fork();
  if (pid < 0) {
    perror("fork");
    exit(1);
  }
  if (pid == 0) {
    (void)alarm(PATIENCE);
    trace_report_to(&result->found);
    if (lines != NULL || options.print) {
      trace_print(lines != NULL ? lines : stdout);
    }
    world_run(plan);
    result->tally = world.tally;
    result->done = true;
    /* So that a leak of the simulator's own is found too. */
    exit(0);
  }
  return pid;
}

/* Whether all went well; if not, result->found says what. */
static bool finish(pid_t pid, struct result *result) {
  int status;

  if (waitpid(pid, &status, 0) != pid) {
    perror("waitpid");
    exit(1);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && result->done) {
    return true;
  }
  if (WIFSIGNALED(status)) {
    snprintf(result->found.text, sizeof result->found.text,
             WTERMSIG(status) == SIGALRM ? "it does not come to an end"
                                         : "killed by signal %d",
             WTERMSIG(status));
  } else if (result->found.text[0] == '\0') {
    snprintf(result->found.text, sizeof result->found.text,
             "ended with status %d: see above", WEXITSTATUS(status));
  }
  return false;
}

static bool run(const struct plan *plan, struct result *result, FILE *lines) {
  return finish(start(plan, result, lines), result);
}

/* --- Shrinking -------------------------------------------------------------*/

/* There are no more than two of them for each stream. */
static void fit_producers(struct plan *plan) {
  if (plan->producers > 2 * plan->keys) {
    plan->producers = 2 * plan->keys;
  }
}

static struct plan plan_of(uint64_t seed) {
  struct plan plan;

  plan_draw(&plan, seed);
  plan.steps = options.steps != 0 ? options.steps : plan.steps;
  plan.features &= ~options.without;
  if (options.streams != 0 && options.streams < plan.keys) {
    plan.keys = options.streams;
  }
  if (options.clients != 0 && options.clients < plan.clients) {
    plan.clients = options.clients;
  }
  fit_producers(&plan);
  return plan;
}

/* What comes after the step that failed does not matter. */
static void cut_steps(struct plan *plan, const struct result *result) {
  if (result->found.step != 0 && result->found.step + 1 < plan->steps) {
    plan->steps = result->found.step + 1;
  }
}

/* Does it still fail like this, in the same way? Then go on from there. */
static bool still_fails(struct plan *plan, const struct plan *smaller,
                        struct result *result, int invariant) {
  struct result *other = make_result();
  const bool fails =
      !run(smaller, other, NULL) && other->found.invariant == invariant;

  if (fails) {
    *plan = *smaller;
    *result = *other;
    cut_steps(plan, result);
  }
  (void)munmap(other, sizeof *other);
  return fails;
}

static unsigned *count_of(struct plan *plan, bool of_keys) {
  return of_keys ? &plan->keys : &plan->clients;
}

/* Fewer clients or streams: without half of them; if that is too much and they
 * are counted, without a quarter, and so on to one. */
static bool shrink_count(struct plan *plan, bool of_keys, bool counted,
                         struct result *result, int invariant,
                         unsigned *tries) {
  struct plan smaller = *plan;
  unsigned *count = count_of(&smaller, of_keys);
  unsigned less = (*count + 1) / 2;
  bool changed = false;

  while (*count > 1 && less != 0) {
    *count -= less;
    fit_producers(&smaller);
    *tries += 1;
    if (still_fails(plan, &smaller, result, invariant)) {
      changed = true;
      less = (*count + 1) / 2;
    } else {
      less = counted ? less / 2 : 0;
    }
    smaller = *plan;
  }
  return changed;
}

/* Everything in turn, until nothing helps. */
static void shrink_all(struct plan *plan, bool counted, struct result *result,
                       int invariant) {
  struct plan smaller;
  bool changed = true;
  unsigned tries = 0;
  unsigned bit;

  while (changed && tries < TRIES) {
    changed = false;
    for (bit = 0; bit < PLAN_BITS; ++bit) {
      smaller = *plan;
      smaller.features &= ~((uint32_t)1 << bit);
      if (smaller.features != plan->features) {
        tries += 1;
        changed |= still_fails(plan, &smaller, result, invariant);
      }
    }
    changed |= shrink_count(plan, false, counted, result, invariant, &tries);
    changed |= shrink_count(plan, true, counted, result, invariant, &tries);
    for (smaller = *plan; smaller.steps > 1; smaller = *plan) {
      smaller.steps -= (smaller.steps + 1) / 2;
      tries += 1;
      if (!still_fails(plan, &smaller, result, invariant)) {
        break;
      }
      changed = true;
    }
  }
}

/* By halves first, so that what is counted afterwards makes it no larger. */
static void shrink(struct plan *plan, struct result *result) {
  const int invariant = result->found.invariant;

  cut_steps(plan, result);
  shrink_all(plan, false, result, invariant);
  shrink_all(plan, true, result, invariant);
}

/* The next name in a text, such as "c12", "kb.3", "client 5" or "#100"; its
 * length, 0 at the end of the text. */
static size_t find_name(const char **text) {
  static const char *const kinds[] = {"client ", "producer ", "host ", "#"};
  const char *p = *text;
  size_t n;
  size_t i;

  for (; *p != '\0'; ++p) {
    n = 0;
    for (i = 0; i < sizeof kinds / sizeof kinds[0]; ++i) {
      if (strncmp(p, kinds[i], strlen(kinds[i])) == 0) {
        n = strlen(kinds[i]);
      }
    }
    if (n == 0 && (p == *text || p[-1] == ' ')) {
      n = p[0] == 'c' ? 1 : p[0] == 'k' && p[1] != '\0' && p[2] == '.' ? 3 : 0;
    }
    if (n != 0 && p[n] >= '0' && p[n] <= '9') {
      *text = p;
      return n + strspn(p + n, "0123456789");
    }
  }
  return 0;
}

/* Whether a line mentions a name, and not a longer one. */
static bool mentions(const char *line, const char *name, size_t len) {
  const char *p = line;

  for (; *p != '\0'; ++p) {
    if (strncmp(p, name, len) == 0 && strspn(p + len, "0123456789") == 0 &&
        (p == line || p[-1] == ' ')) {
      return true;
    }
  }
  return false;
}

/* Show a trace: where it is about those who failed, and how it ends. */
static void show_lines(FILE *lines, const char *text) {
  static bool about[LINES_MOST];
  const char *names[NAMES];
  size_t lens[NAMES];
  size_t count = 0;
  size_t all = 0;
  size_t n = 0;
  size_t i;
  bool shown = true;
  char line[400];

  while (count < NAMES && (lens[count] = find_name(&text)) != 0) {
    names[count] = text;
    text += lens[count++];
  }
  rewind(lines);
  for (; fgets(line, sizeof line, lines) != NULL; ++all) {
    for (i = 0; i < count && all < LINES_MOST; ++i) {
      about[all] = about[all] || mentions(line, names[i], lens[i]);
    }
    n += all < LINES_MOST && about[all];
  }
  rewind(lines);
  for (i = 0; fgets(line, sizeof line, lines) != NULL; ++i) {
    const bool mentioned = i < LINES_MOST && about[i];

    if ((mentioned && n <= LINES_ABOUT) || i + LINES_LAST >= all) {
      printf("%s%s", shown ? "" : "   ...\n", line);
      shown = true;
    } else {
      shown = false;
    }
    n -= mentioned;
  }
}

static void show(struct plan *plan, struct result *result) {
  const struct plan full = plan_of(plan->seed);
  FILE *lines = tmpfile();
  char text[600];
  unsigned bit;
  bool first = true;

  plan_describe(plan, text, sizeof text);
  printf("--- seed %llu, as small as it still fails: %s\n",
         (unsigned long long)plan->seed, text);
  if (lines == NULL) {
    perror("tmpfile");
    exit(1);
  }
  (void)run(plan, result, lines);
  show_lines(lines, result->found.text);
  fclose(lines);
  printf("seed %llu, step %llu: invariant %d: %s\n",
         (unsigned long long)plan->seed, (unsigned long long)result->found.step,
         result->found.invariant, result->found.text);
  printf(
      "again: make sim SEEDS=%llu STEPS=%llu SIM=\"--clients %u --streams %u",
      (unsigned long long)plan->seed, (unsigned long long)plan->steps,
      plan->clients, plan->keys);
  for (bit = 0; bit < PLAN_BITS; ++bit) {
    if ((((full.features & ~plan->features) | options.without) >> bit & 1) !=
        0) {
      printf("%s%s", first ? " --without " : ",", plan_feature(bit));
      first = false;
    }
  }
  printf("\"\n");
}

/* --- Many worlds -----------------------------------------------------------*/

static void add(const struct tally *tally) {
  size_t i;

  worlds += 1;
  sum.steps += tally->steps;
  sum.connections += tally->connections;
  sum.events += tally->events;
  sum.signals += tally->signals;
  sum.deliveries += tally->deliveries;
  sum.bytes += tally->bytes;
  sum.calls += tally->calls;
  sum.wrongs += tally->wrongs;
  sum.deaths += tally->deaths;
  sum.scarce += tally->scarce;
  sum.gaps += tally->gaps;
  sum.ends += tally->ends;
  sum.ms += tally->ms;
  for (i = 0; i < sizeof sum.verdicts / sizeof sum.verdicts[0]; ++i) {
    sum.verdicts[i] += tally->verdicts[i];
  }
}

static void report(double seconds) {
  printf(
      "sim: %llu worlds, %llu steps, %.1f h; %llu connections, %llu events, "
      "%llu deliveries, %llu MiB; %llu storage calls, %llu of them went "
      "wrong; %llu deaths, %llu allocations failed, %llu gaps, %llu ends; "
      "%.0f s\n",
      (unsigned long long)worlds, (unsigned long long)sum.steps,
      (double)sum.ms / 3600000, (unsigned long long)sum.connections,
      (unsigned long long)sum.events, (unsigned long long)sum.deliveries,
      (unsigned long long)(sum.bytes >> 20), (unsigned long long)sum.calls,
      (unsigned long long)sum.wrongs, (unsigned long long)sum.deaths,
      (unsigned long long)sum.scarce, (unsigned long long)sum.gaps,
      (unsigned long long)sum.ends, seconds);
}

static double now(void) {
  struct timespec time;

  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* One seed; whether all was well. */
static bool run_seed(uint64_t seed) {
  struct plan plan = plan_of(seed);
  struct result *result = make_result();
  bool well = run(&plan, result, NULL);
  uint64_t hash = result->tally.hash;

  if (well) {
    add(&result->tally);
    if (options.twice) {
      well = run(&plan, result, NULL) && result->tally.hash == hash;
      if (!well) {
        printf("seed %llu is not the same twice\n", (unsigned long long)seed);
      }
    }
  } else {
    printf("seed %llu, step %llu: invariant %d: %s\n", (unsigned long long)seed,
           (unsigned long long)result->found.step, result->found.invariant,
           result->found.text);
    if (!options.keep) {
      fflush(stdout);
      shrink(&plan, result);
      show(&plan, result);
    }
  }
  (void)munmap(result, sizeof *result);
  return well;
}

static bool run_range(const char *text) {
  char *end;
  uint64_t from = strtoull(text, &end, 10);
  const uint64_t to = *end == '-' ? strtoull(end + 1, &end, 10) : from;

  if (*end != '\0' || end == text) {
    fprintf(stderr, "not a seed, or a range of seeds: %s\n", text);
    exit(2);
  }
  for (; from <= to; ++from) {
    if (!run_seed(from)) {
      return false;
    }
  }
  return true;
}

/* Seeds that nobody has tried, for so many minutes. */
static bool run_fresh(void) {
  const double until = now() + (double)options.minutes * 60;
  const uint64_t first = (uint64_t)time(NULL) * 1000;
  uint64_t seed = first;
  bool well = true;

  printf("sim: fresh seeds from %llu on\n", (unsigned long long)first);
  fflush(stdout);
  for (; well && now() < until; ++seed) {
    well = run_seed(seed);
  }
  printf("sim: fresh seeds %llu-%llu\n", (unsigned long long)first,
         (unsigned long long)seed - 1);
  return well;
}

static uint32_t parse_features(const char *text) {
  uint32_t features = 0;
  unsigned bit;
  size_t n;

  for (; *text != '\0'; text += n + (text[n] == ',')) {
    n = strcspn(text, ",");
    for (bit = 0; bit < PLAN_BITS; ++bit) {
      if (strlen(plan_feature(bit)) == n &&
          memcmp(plan_feature(bit), text, n) == 0) {
        features |= (uint32_t)1 << bit;
        break;
      }
    }
    if (bit == PLAN_BITS) {
      fprintf(stderr, "no such feature: %s\n", text);
      exit(2);
    }
  }
  return features;
}

/* Take an option off the front; how many arguments it is. */
static int parse_option(char **arguments) {
  const char *name = arguments[0];
  const char *value = arguments[1] == NULL ? "" : arguments[1];

  if (strcmp(name, "--print") == 0) {
    options.print = true;
    return 1;
  }
  if (strcmp(name, "--twice") == 0) {
    options.twice = true;
    return 1;
  }
  if (strcmp(name, "--keep") == 0) {
    options.keep = true;
    return 1;
  }
  if (strcmp(name, "--steps") == 0) {
    options.steps = strtoull(value, NULL, 10);
  } else if (strcmp(name, "--minutes") == 0) {
    options.minutes = strtoull(value, NULL, 10);
  } else if (strcmp(name, "--clients") == 0) {
    options.clients = (unsigned)strtoull(value, NULL, 10);
  } else if (strcmp(name, "--streams") == 0) {
    options.streams = (unsigned)strtoull(value, NULL, 10);
  } else if (strcmp(name, "--without") == 0) {
    options.without = parse_features(value);
  } else {
    fprintf(stderr,
            "usage: sim [--steps N] [--clients N] [--streams N] [--minutes N] "
            "[--without FEATURE,...]\n"
            "           [--print] [--twice] [--keep] [SEED | FROM-TO]...\n");
    exit(2);
  }
  return 2;
}

int main(int argc, char **argv) {
  const double begun = now();
  bool well = true;
  int i = 1;

  while (i < argc && argv[i][0] == '-') {
    i += parse_option(argv + i);
  }
  for (; well && i < argc; ++i) {
    well = run_range(argv[i]);
  }
  if (well && options.minutes != 0) {
    well = run_fresh();
  }
  report(now() - begun);
  return well ? 0 : 1;
}
