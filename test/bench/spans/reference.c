/*
 * What bench:spans compares with: the algorithms of gpu-worker/attribution/sais.ts and span-index.ts in C, compiled
 * with -O3 -march=native. Usage:
 *   reference build TEXT UPPER           TEXT: u16 symbols, 0 ends a document. Prints seconds and a checksum.
 *   reference query TEXT SUFFIXES ROWS QUERIES LENGTH MIN MOST
 *                                        one line per query: microseconds, stretches, holders
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *load(const char *path, long *bytes) {
  FILE *f = fopen(path, "rb");
  if (!f) { perror(path); exit(1); }
  fseek(f, 0, SEEK_END);
  *bytes = ftell(f);
  rewind(f);
  void *data = malloc(*bytes + 16);
  if (fread(data, 1, *bytes, f) != (size_t)*bytes) { perror(path); exit(1); }
  fclose(f);
  return data;
}

static void starts(const int *counts, int *cursor, int k) {
  for (int c = 0, sum = 0; c < k; c++) { cursor[c] = sum; sum += counts[c]; }
}
static void ends(const int *counts, int *cursor, int k) {
  for (int c = 0, sum = 0; c < k; c++) { sum += counts[c]; cursor[c] = sum; }
}

/* Walks the LMS positions from right to left. */
#define EACH_LMS(p, body)                                   \
  for (int i_ = n - 2, s_ = 0; i_ >= 0; i_--) {             \
    if (t[i_] < t[i_ + 1]) s_ = 1;                          \
    else if (t[i_] > t[i_ + 1]) {                           \
      if (s_) { int p = i_ + 1; body; }                     \
      s_ = 0;                                               \
    }                                                       \
  }

static void sais(const int *t, int *sa, int n, int k) {
  int *counts = calloc(k, sizeof(int)), *cursor = malloc(k * sizeof(int));
  for (int i = 0; i < n; i++) counts[t[i]]++;
  memset(sa, 0, (size_t)n * sizeof(int));
  ends(counts, cursor, k);
  int m = 0, slot = -1, last = 0;
  EACH_LMS(p, {
    if (slot >= 0) sa[slot] = last - 1;
    slot = --cursor[t[p]];
    last = p;
    m++;
  })
  if (m == 1) sa[slot] = last;
  if (m > 1) {
    starts(counts, cursor, k);
    int c = t[n - 1], b = cursor[c];
    sa[b++] = t[n - 2] < c ? ~(n - 2) : n - 2;
    for (int i = 0; i < n; i++) {
      int j = sa[i];
      if (j > 0) {
        if (t[j] != c) { cursor[c] = b; c = t[j]; b = cursor[c]; }
        sa[b++] = t[j - 1] < c ? ~(j - 1) : j - 1;
        sa[i] = 0;
      } else if (j < 0) sa[i] = ~j;
    }
    ends(counts, cursor, k);
    c = 0; b = cursor[0];
    for (int i = n - 1; i >= 0; i--) {
      int j = sa[i];
      if (j <= 0) continue;
      if (t[j] != c) { cursor[c] = b; c = t[j]; b = cursor[c]; }
      sa[--b] = t[j - 1] > c ? ~j : j - 1;
      sa[i] = 0;
    }
    int kept = 0;
    for (int i = 0; kept < m; i++) {
      int p = sa[i];
      if (p >= 0) continue;
      sa[i] = 0;
      sa[kept++] = ~p;
    }
    memset(sa + m, 0, (size_t)(n - m) * sizeof(int));
    int end = n;
    EACH_LMS(p, { sa[m + (p >> 1)] = end - p; end = p; })
    int names = 0, q = 0, qlen = 0;
    for (int i = 0; i < m; i++) {
      int p = sa[i], len = sa[m + (p >> 1)];
      int same = len == qlen && p + len < n && q + len < n;
      for (int x = 0; same && x <= len; x++) same = t[p + x] == t[q + x];
      if (!same) { names++; q = p; qlen = len; }
      sa[m + (p >> 1)] = names;
    }
    int *r = sa + n - m;
    if (names < m) {
      for (int i = m + (n >> 1) - 1, j = m - 1; i >= m; i--) if (sa[i]) r[j--] = sa[i] - 1;
      sais(r, sa, m, names);
      int j = m - 1;
      EACH_LMS(p, r[j--] = p)
      for (int i = 0; i < m; i++) sa[i] = r[sa[i]];
    }
    memset(sa + m, 0, (size_t)(n - m) * sizeof(int));
    ends(counts, cursor, k);
    for (int i = m - 1; i >= 0; i--) { int p = sa[i]; sa[i] = 0; sa[--cursor[t[p]]] = p; }
  }
  starts(counts, cursor, k);
  int c = t[n - 1], b = cursor[c];
  sa[b++] = n > 1 && t[n - 2] < c ? ~(n - 1) : n - 1;
  for (int i = 0; i < n; i++) {
    int j = sa[i] - 1;
    sa[i] = ~(j + 1);
    if (j < 0) continue;
    if (t[j] != c) { cursor[c] = b; c = t[j]; b = cursor[c]; }
    sa[b++] = j > 0 && t[j - 1] < c ? ~j : j;
  }
  ends(counts, cursor, k);
  c = 0; b = cursor[0];
  for (int i = n - 1; i >= 0; i--) {
    int j = sa[i] - 1;
    if (j < 0) { sa[i] = ~(j + 1); continue; }
    if (t[j] != c) { cursor[c] = b; c = t[j]; b = cursor[c]; }
    sa[--b] = j == 0 || t[j - 1] > c ? ~j : j;
  }
  free(counts);
  free(cursor);
}

static int build(const char *path, int upper) {
  long bytes;
  uint16_t *text = load(path, &bytes);
  int n = bytes / 2, documents = 0, end = 0;
  double from = now();
  for (int i = 0; i < n; i++) documents += text[i] == 0;
  int *distinct = malloc((size_t)n * sizeof(int)), *sa = malloc((size_t)n * sizeof(int));
  for (int i = 0; i < n; i++) distinct[i] = text[i] == 0 ? end++ : documents - 1 + text[i];
  sais(distinct, sa, n, documents + upper + 1);
  double seconds = now() - from;
  uint32_t sum = 2166136261u;
  for (int i = documents; i < n; i++) sum = (sum ^ (uint32_t)sa[i]) * 16777619u;
  printf("%.6f %u\n", seconds, sum);
  return 0;
}

static uint16_t *text;
static int *suffixes, *rows, row_count, buckets[65540];

static int extend(int p, const int *q, int limit, int known) {
  while (known < limit && text[p + known] == q[known]) known++;
  return known;
}

static int longest(const int *q, int limit) {
  int lo = buckets[q[0]], first = lo, end = buckets[q[0] + 1], hi = end, sl = 1, sh = 1;
  if (lo == hi) return 0;
  while (lo < hi) {
    int mid = (lo + hi) >> 1, p = suffixes[mid], s = extend(p, q, limit, sl < sh ? sl : sh);
    if (s == limit) return s;
    if (text[p + s] < q[s]) { lo = mid + 1; sl = s; } else { hi = mid; sh = s; }
  }
  int a = lo > first ? extend(suffixes[lo - 1], q, limit, 1) : 0;
  int b = lo < end ? extend(suffixes[lo], q, limit, 1) : 0;
  return a > b ? a : b;
}

static int bound(const int *q, int length, int lo, int after) {
  int hi = buckets[q[0] + 1];
  while (lo < hi) {
    int mid = (lo + hi) >> 1, p = suffixes[mid], s = extend(p, q, length, 1);
    if (s == length ? after : text[p + s] < q[s]) lo = mid + 1; else hi = mid;
  }
  return lo;
}

static int row_of(int position) {
  int lo = 0, hi = row_count;
  while (lo < hi) { int mid = (lo + hi) >> 1; if (rows[mid] <= position) lo = mid + 1; else hi = mid; }
  return lo - 1;
}

static int query(char **arg) {
  long tb, sb, rb, qb;
  text = load(arg[0], &tb);
  suffixes = load(arg[1], &sb);
  rows = load(arg[2], &rb);
  row_count = rb / 4;
  int *queries = load(arg[3], &qb), length = atoi(arg[4]), min = atoi(arg[5]), most = atoi(arg[6]);
  for (long i = 0; i < tb / 2; i++) if (text[i]) buckets[text[i] + 1]++;
  for (int c = 1; c < 65540; c++) buckets[c] += buckets[c - 1];
  for (int at = 0; at + length <= qb / 4; at += length) {
    const int *q = queries + at;
    int stretches = 0, holders = 0;
    double from = now();
    for (int start = 0, last = 0; start + min <= length; start++) {
      int found = longest(q + start, length - start);
      if (found < min || start + found <= last) continue;
      last = start + found;
      stretches++;
      int lo = bound(q + start, found, buckets[q[start]], 0), hi = bound(q + start, found, lo, 1);
      int seen[64], distinct = 0;
      for (int rank = lo; rank < hi && distinct <= most; rank++) {
        int row = row_of(suffixes[rank]), known = 0;
        for (int i = 0; i < distinct; i++) known |= seen[i] == row;
        if (!known) seen[distinct++] = row;
      }
      holders += distinct;
    }
    printf("%.3f %d %d\n", (now() - from) * 1e6, stretches, holders);
  }
  return 0;
}

int main(int count, char **arg) {
  if (count == 4 && !strcmp(arg[1], "build")) return build(arg[2], atoi(arg[3]));
  if (count == 9 && !strcmp(arg[1], "query")) return query(arg + 2);
  fprintf(stderr, "usage: see the top of reference.c\n");
  return 2;
}
