import 'node:url'

// Tests see Node's types and workerd's at once, whose URL classes TypeScript holds for different ones.
declare module 'node:url' {
  export function fileURLToPath(url: string | { readonly href: string }): string
}
