-- Read by Neovim when the plugin is on its path. Ghost text needs `require('fimble').setup()`.
vim.api.nvim_create_user_command('FimbleExplain', function() require('fimble').explain() end, {
  desc = 'why the latest request of this buffer got the answer it got',
})
vim.api.nvim_create_user_command('FimbleToggle', function() require('fimble').toggle() end, {
  desc = 'ghost text off, or on again',
})
