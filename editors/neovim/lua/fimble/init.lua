-- Fimble in Neovim: ghost text by the built-in client. No state of its own; the server decides.
local M = {}

---@class fimble.Options
---@field cmd? string[] how to start the language server
---@field filetypes? string[] only these; all where it is nil
---@field settings? table the tables of fimble.toml
---@field keys? table<'accept'|'word'|'line', string|false>
M.defaults = {
  cmd = { 'fimble', 'lsp' },
  filetypes = nil,
  settings = {},
  keys = { accept = '<Tab>', word = '<M-Right>', line = '<M-Down>' },
}

M.options = M.defaults

--- Whether this Neovim shows inline completions (0.12).
function M.has_ghost_text()
  return vim.lsp.inline_completion ~= nil
end

--- The running client of a buffer, if there is one.
function M.client(buffer)
  return vim.lsp.get_clients({ name = 'fimble', bufnr = buffer or 0 })[1]
end

--- The part of a suggestion that stands in the buffer already.
local function typed_of(item)
  local row, column, last_row, last_column = item.range:to_extmark()
  return table.concat(vim.api.nvim_buf_get_text(0, row, column, last_row, last_column, {}), '\n')
end

--- The first match of several patterns.
local function first_of(text, patterns)
  for _, pattern in ipairs(patterns) do
    local found = text:match(pattern)
    if found and found ~= '' then
      return found
    end
  end
end

--- Take a part of the suggestion, and tell the server how much.
local function take_part(...)
  local patterns = { ... }
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      local text = item.insert_text
      if type(text) ~= 'string' or not item.range then
        return item
      end
      local typed = typed_of(item)
      local part = first_of(text:sub(#typed + 1), patterns)
      if text:sub(1, #typed) ~= typed or not part or #typed + #part >= #text then
        return item
      end
      local taken = typed .. part
      local whole = { insertText = text, command = item.command }
      vim.schedule(function()
        local client = vim.lsp.get_client_by_id(item.client_id)
        if client then
          local length = vim.str_utfindex(taken, 'utf-16')
          client:notify(
            'textDocument/didPartiallyAcceptCompletion',
            { item = whole, acceptedLength = length }
          )
        end
      end)
      return vim.tbl_extend('force', item, { insert_text = taken, command = false })
    end,
  })
end

--- What the keys do; each returns whether there was a suggestion.
M.actions = {
  accept = function() return vim.lsp.inline_completion.get() end,
  -- A word, or signs up to the next one; blanks before it come along.
  word = function() return take_part('^%s*[%w_\128-\255]+', '^%s*[^%s%w_]+') end,
  line = function() return take_part('^\n?[^\n]+') end,
}

local function map_keys(keys)
  for name, key in pairs(keys) do
    if key then
      vim.keymap.set('i', key, function()
        return M.actions[name]() and '' or key
      end, { expr = true, desc = 'Fimble: ' .. name })
    end
  end
end

--- Neovim 0.11 knows no inline completion: the same suggestion comes in the completion popup.
local function use_popup()
  vim.api.nvim_create_autocmd('LspAttach', {
    group = vim.api.nvim_create_augroup('fimble', {}),
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == 'fimble' then
        vim.lsp.completion.enable(true, client.id, event.buf, { autotrigger = true })
      end
    end,
  })
end

--- Start the language server for every buffer, show ghost text, map the keys.
---@param options? fimble.Options
function M.setup(options)
  M.options = vim.tbl_deep_extend('force', M.defaults, options or {})
  if vim.lsp.config == nil then
    vim.notify('Fimble needs Neovim 0.11, better 0.12', vim.log.levels.ERROR)
    return
  end
  vim.lsp.config('fimble', {
    cmd = M.options.cmd,
    filetypes = M.options.filetypes,
    root_markers = { '.git' },
    settings = { fimble = M.options.settings },
  })
  vim.lsp.enable('fimble')
  if M.has_ghost_text() then
    vim.lsp.inline_completion.enable()
    map_keys(M.options.keys)
  else
    use_popup()
  end
end

--- Why the latest request of this buffer got the answer it got.
function M.explain()
  local client = M.client()
  if not client then
    vim.notify('Fimble: no language server for this buffer; see :checkhealth fimble')
    return
  end
  local command = { command = 'fimble.explain', arguments = { vim.uri_from_bufnr(0) } }
  client:request('workspace/executeCommand', command, function(failure, said)
    vim.notify('Fimble: ' .. (failure and failure.message or vim.inspect(said)))
  end, 0)
end

--- Ghost text off, or on again.
function M.toggle()
  local is_on = not vim.lsp.inline_completion.is_enabled()
  vim.lsp.inline_completion.enable(is_on)
  vim.notify('Fimble: ' .. (is_on and 'on' or 'off'))
end

return M
