import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { createSiweMessage } from 'viem/siwe'
import type { Hex } from '#protocol/bytes.ts'
import type { Edge } from './harness.ts'

export type SignedIn = {
  privateKey: Hex
  address: Hex
  accountId: string
  key: string
  /** Headers of a JSON request of this account. */
  headers: Record<string, string>
}

type Challenge = { nonce: string; domain: string; uri: string; chain_id: number }

/** Signs a (new) wallet in as a client would: nonce, EIP-4361 message, signature. */
export async function signIn(
  edge: Pick<Edge, 'fetch'>,
  privateKey: Hex = generatePrivateKey(),
): Promise<SignedIn> {
  const wallet = privateKeyToAccount(privateKey)
  const challenge = (await postJson(edge, '/v1/auth/nonce', {
    address: wallet.address,
  })) as Challenge
  const message = createSiweMessage({
    address: wallet.address,
    chainId: challenge.chain_id,
    domain: challenge.domain,
    nonce: challenge.nonce,
    uri: challenge.uri,
    version: '1',
  })
  const signature = await wallet.signMessage({ message })
  const login = (await postJson(edge, '/v1/auth/login', { message, signature })) as {
    account: string
    address: Hex
    api_key: string
  }
  return {
    privateKey,
    address: login.address,
    accountId: login.account,
    key: login.api_key,
    headers: { authorization: `Bearer ${login.api_key}`, 'content-type': 'application/json' },
  }
}

async function postJson(edge: Pick<Edge, 'fetch'>, path: string, body: unknown): Promise<unknown> {
  const response = await edge.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response.json()
}
