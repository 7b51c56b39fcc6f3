import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// In development the page comes from Vite and everything else from a running Lar.
const lar = { target: "http://127.0.0.1:5270", changeOrigin: true };

// Puts a `.br` and a `.gz` beside each larger file that is text: the server sends those and compresses nothing itself.
const SMALL = 1024;
const compressed = (): Plugin => ({
  name: "compressed",
  apply: "build",
  writeBundle: {
    order: "post",
    sequential: true,
    handler({ dir }) {
      const folder = dir ?? "dist";
      for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
        const path = join(folder, name);
        if (!/\.(js|css|html|svg|json)$/.test(name) || statSync(path).size < SMALL) continue;
        const text = readFileSync(path);
        const size = { [constants.BROTLI_PARAM_SIZE_HINT]: text.length, [constants.BROTLI_PARAM_LGWIN]: 24 };
        writeFileSync(`${path}.br`, brotliCompressSync(text, { params: { ...size, [constants.BROTLI_PARAM_QUALITY]: 11 } }));
        writeFileSync(`${path}.gz`, gzipSync(text, { level: 9 }));
      }
    },
  },
});

export default defineConfig({
  plugins: [react(), compressed()],
  build: { target: "es2022", chunkSizeWarningLimit: 1500 },
  server: { proxy: { "/lar": lar, "/v1": lar } },
});
