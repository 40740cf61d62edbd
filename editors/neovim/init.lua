-- Fimble in Neovim 0.12 or later: ghost text while you type, <Tab> takes it.
vim.lsp.config('fimble', { cmd = { 'fimble', 'lsp' }, root_markers = { '.git' } })
vim.lsp.enable('fimble')
vim.lsp.inline_completion.enable()
vim.keymap.set('i', '<Tab>', function() return vim.lsp.inline_completion.get() and '' or '<Tab>' end, { expr = true })
