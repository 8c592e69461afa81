import { gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

// A compressed twin beside every larger asset, so that the server can answer `Accept-Encoding: gzip` from its own
// assets without compressing anything.
const compressed: Plugin = {
  name: 'compressed',
  apply: 'build',
  generateBundle: {
    // Last, because Vite still puts things into the chunks here, and both twins must say the same.
    order: 'post',
    handler(_options, bundle) {
      for (const [fileName, item] of Object.entries(bundle)) {
        const source = item.type === 'chunk' ? item.code : item.source;
        if (!fileName.startsWith('assets/') || source.length < 2048) continue;
        this.emitFile({ type: 'asset', fileName: `${fileName}.gz`, source: gzipSync(source, { level: 9 }) });
      }
    },
  },
};

export default defineConfig({
  // Relative, so that the pages also work behind a proxy that serves them under a prefix.
  base: './',
  // The server puts a fresh value in its place with each page; style elements that libraries make carry it.
  html: { cspNonce: 'KITH-NONCE' },
  build: {
    // Nothing inline: the policy of the pages allows their own files and no data.
    assetsInlineLimit: 0,
    // The explorer's editor alone is past Vite's default; it comes in its own chunk.
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      input: ['index.html', 'explorer.html'],
      // "use client" in the libraries means nothing in a page that has no server half.
      onLog(level, log, handle) {
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') handle(level, log);
      },
    },
  },
  plugins: [react(), compressed],
  worker: { format: 'es' },
  server: {
    // `npm run dev` beside a running server; KITH_URL says where.
    proxy: Object.fromEntries(
      ['/graphql', '/exports', '/schema.graphql'].map((path) => [
        path,
        { target: process.env.KITH_URL ?? 'http://127.0.0.1:8000', ws: path === '/graphql' },
      ]),
    ),
  },
});
