import { cors } from 'hono/cors'
import { accountRoutes } from './accounts/routes.ts'
import { explanationRoutes } from './attribution/explanation-routes.ts'
import { attributionRoutes } from './attribution/routes.ts'
import { settledRoutes } from './attribution/settled-routes.ts'
import { authenticate } from './auth/authenticate.ts'
import { authRoutes } from './auth/routes.ts'
import { blobRoutes } from './blobs/routes.ts'
import { chainRoutes } from './chain/routes.ts'
import { custodyRoutes } from './custody/routes.ts'
import { publishedRoutes } from './custody/published-routes.ts'
import { contributionRoutes } from './datanets/contribution-routes.ts'
import { datanetRoutes } from './datanets/datanet-routes.ts'
import { revocationRoutes } from './datanets/revocation-routes.ts'
import { versionRoutes } from './datanets/version-routes.ts'
import { governanceRoutes } from './governance/routes.ts'
import { admit } from './http/admit.ts'
import { limitBody } from './http/limit-body.ts'
import { logRequests } from './http/log-requests.ts'
import { newApp } from './http/new-app.ts'
import { onError, onNotFound } from './http/errors.ts'
import { inferenceRoutes } from './inference/routes.ts'
import { workerRoutes } from './jobs/routes.ts'
import { jobRoutes } from './models/job-routes.ts'
import { downloadRoutes } from './models/download-routes.ts'
import { modelRoutes } from './models/routes.ts'
import { claimRoutes } from './settlement/claim-routes.ts'
import { settlementRoutes } from './settlement/routes.ts'

/** The API: middleware in order, then every domain's routes. */
export const app = newApp()

app.onError(onError)
app.notFound(onNotFound)
app.use(logRequests)
// Keys are sent by name, never by a browser on its own, so that pages from anywhere may call.
app.use(cors({ origin: '*', exposeHeaders: ['x-request-id', 'retry-after', 'ratelimit'] }))
app.on('POST', '*', limitBody)
app.use(authenticate, admit)

// Domains mount here.
app.route('/', authRoutes)
app.route('/', accountRoutes)
app.route('/', datanetRoutes)
app.route('/', contributionRoutes)
app.route('/', versionRoutes)
app.route('/', revocationRoutes)
app.route('/', blobRoutes)
app.route('/', downloadRoutes) // before models, whose names contain slashes
app.route('/', modelRoutes)
app.route('/', jobRoutes)
app.route('/', workerRoutes)
app.route('/', inferenceRoutes)
app.route('/', attributionRoutes)
app.route('/', explanationRoutes)
app.route('/', settledRoutes)
app.route('/', custodyRoutes)
app.route('/', publishedRoutes)
app.route('/', settlementRoutes)
app.route('/', claimRoutes)
app.route('/', chainRoutes)
app.route('/', governanceRoutes)

app.get('/health', (c) => c.json({ status: 'ok', chainId: c.get('ctx').settings.CHAIN_ID }))

app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
  type: 'http',
  scheme: 'bearer',
})
app.doc31('/openapi.json', (c) => ({
  openapi: '3.1.0',
  info: { title: 'OpenLedger', version: '1' },
  servers: [{ url: c.get('ctx').settings.PUBLIC_URL }],
  security: [{ apiKey: [] }],
}))

export type App = typeof app
