import { gzipSync } from 'node:zlib';
import { defineConfig } from 'vite';

// A compressed twin beside every larger asset, so that the server can answer `Accept-Encoding: gzip` from its own
// assets without compressing anything: a first load is 2 MB then and not 7.
const compressed = {
  name: 'compressed',
  apply: 'build',
  generateBundle(_options, bundle) {
    for (const [fileName, item] of Object.entries(bundle)) {
      const source = item.type === 'chunk' ? item.code : item.source;
      if (!fileName.startsWith('assets/') || source.length < 2048) continue;
      this.emitFile({ type: 'asset', fileName: `${fileName}.gz`, source: gzipSync(source, { level: 9 }) });
    }
  },
};

export default defineConfig({
  // Relative, so that the page also works behind a proxy that serves it under a prefix.
  base: './',
  build: {
    // The editor alone is past Vite's default; it comes in its own chunk.
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      // "use client" in the libraries means nothing in a page that has no server half.
      onLog(level, log, handle) {
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') handle(level, log);
      },
    },
  },
  plugins: [compressed],
  worker: { format: 'es' },
  server: {
    // `npm run dev` beside a running server.
    proxy: { '/graphql': { target: 'http://127.0.0.1:8000', ws: true } },
  },
});
