import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// In development the page comes from Vite and everything else from a running Lar.
const lar = { target: "http://127.0.0.1:5270", changeOrigin: true };

export default defineConfig({
  plugins: [react()],
  build: { target: "es2022", chunkSizeWarningLimit: 1500 },
  server: { proxy: { "/lar": lar, "/v1": lar } },
});
