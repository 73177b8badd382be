import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { routeOrder, type Candidate } from './route.ts'

const adapter = keccak('adapter')
const requestId = keccak('request')
const worker = (id: string, load: Partial<NonNullable<Candidate['load']>> = {}): Candidate => ({
  id,
  load: { capacity: 16, active: 0, waiting: 0, resident: [], draining: false, ...load },
})
const order = (workers: Candidate[], asked: { adapter: Hex | null } = { adapter }) =>
  routeOrder(workers, { requestId, ...asked }).map(({ id }) => id)

test('the worker that has the adapter is asked first, while it is less than a batch busier', () => {
  for (const [active, waiting, first] of [
    [0, 0, 'has'],
    [15, 0, 'has'],
    [16, 4, 'idle'],
  ] as const)
    assert.equal(
      order([worker('idle'), worker('has', { active, waiting, resident: [adapter] })])[0],
      first,
    )
})

test('the bare base goes to the least busy', () => {
  const workers = [
    worker('full', { active: 16, waiting: 3 }),
    worker('half', { active: 8 }),
    worker('small', { capacity: 2, active: 2 }),
    worker('idle', { active: 1 }),
  ]
  assert.deepEqual(order(workers, { adapter: null }), ['idle', 'half', 'small', 'full'])
})

test('an adapter that nobody has in memory always goes to the same worker, others elsewhere', () => {
  const workers = ['a', 'b', 'c', 'd'].map((id) => worker(id))
  const home = (of: Hex, among = workers) =>
    routeOrder(among, { adapter: of, requestId: keccak(String(Math.random())) })[0]!.id
  const adapters = Array.from({ length: 400 }, (_, i) => keccak(`adapter ${i}`))
  const homes = adapters.map((one) => home(one))
  assert.deepEqual(
    adapters.map((one) => home(one, workers.toReversed())),
    homes,
  )
  for (const { id } of workers) {
    const share = homes.filter((one) => one === id).length
    assert.ok(share > 70 && share < 130, `${share} of 400`)
  }
  // When one leaves, only its own adapters move.
  const left = workers.filter(({ id }) => id !== 'c')
  adapters.forEach((one, i) => homes[i] === 'c' || assert.equal(home(one, left), homes[i]))
})

test('requests for the bare base are spread among workers that are equally busy', () => {
  const workers = ['a', 'b'].map((id) => worker(id))
  const firsts = Array.from(
    { length: 200 },
    (_, i) => routeOrder(workers, { adapter: null, requestId: keccak(`request ${i}`) })[0]!.id,
  )
  const ofA = firsts.filter((id) => id === 'a').length
  assert.ok(ofA > 70 && ofA < 130, `${ofA} of 200`)
})

test('a worker that leaves comes last, one that tells nothing counts as idle without adapters', () => {
  const silent: Candidate = { id: 'silent', load: null }
  const workers = [
    worker('leaving', { resident: [adapter], draining: true }),
    worker('busy', { active: 20 }),
    silent,
    worker('has', { resident: [adapter] }),
  ]
  assert.deepEqual(order(workers), ['has', 'silent', 'busy', 'leaving'])
})
