import { onlyArgument, type Command, type Context } from '../command.ts'
import { followJob, heldOut } from '../follow-job.ts'
import type { Client, Job } from '../openledger.ts'
import { textTable } from '../table.ts'

/** The account's fine-tuning jobs. */
export const listJobs: Command = {
  details: '',
  options: {},
  run: async ({ settings, print }) => {
    const jobs: Job[] = []
    for await (const job of (await settings.client()).jobs()) jobs.push(job)
    const rows = jobs.map((job) => [
      job.id,
      new Date(job.created_at * 1_000).toISOString(),
      job.status,
      job.fine_tuned_model ?? job.error?.message ?? job.openledger.phase ?? '',
    ])
    print(
      rows.length === 0
        ? 'you have no jobs yet: openledger train starts one'
        : textTable([['job', 'created', 'status', ''], ...rows]),
      jobs,
    )
    return 0
  },
}

/** Shows a job until it ends. */
export const followCommand: Command = {
  details: 'Ctrl-C leaves the job running.',
  options: {},
  run: async (context) => {
    const id = onlyArgument(context.input, 'job follow', 'job ID')
    return follow(context, await context.settings.client(), id)
  },
}

export const pauseJob = changing('pause', (client, id) => client.pauseJob(id), {
  details: 'It keeps its last checkpoint; what was trained after it is trained again.',
})
export const resumeJob = changing('resume', (client, id) => client.resumeJob(id))
export const cancelJob = changing('cancel', (client, id) => client.cancelJob(id))

/** Shows a job until it ends, and prints the model's name. */
export async function follow(
  { progress, print, signal }: Context,
  client: Client,
  id: string,
): Promise<number> {
  const step = progress.step(id)
  const tell = (line: string) => progress.print(`! ${line}`)
  const { job, validationLosses } = await followJob(client, id, { step, tell, signal })
  const isDone = job.status === 'succeeded'
  if (isDone) step.done(validationLosses.length > 0 ? heldOut(validationLosses) : '')
  else step.fail(job.error?.message ?? job.status)
  print(job.fine_tuned_model ?? `${id} ${job.status}`, job)
  return isDone ? 0 : 1
}

function changing(
  name: string,
  change: (client: Client, id: string) => Promise<Job>,
  { details = '' } = {},
): Command {
  return {
    details,
    options: {},
    run: async (context) => {
      const id = onlyArgument(context.input, `job ${name}`, 'job ID')
      const job = await change(await context.settings.client(), id)
      context.print(`${id} ${job.status}`, job)
      return 0
    },
  }
}
