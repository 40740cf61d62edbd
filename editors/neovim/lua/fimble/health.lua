-- `:checkhealth fimble`: what stands between this Neovim and ghost text.
local M = {}

local function check_neovim()
  local version = tostring(vim.version())
  if vim.fn.has('nvim-0.12') == 1 then
    vim.health.ok('Neovim ' .. version .. ' shows inline completions')
  elseif vim.fn.has('nvim-0.11') == 1 then
    vim.health.warn('Neovim ' .. version .. ': suggestions come in the completion popup', 'Neovim 0.12 shows ghost text')
  else
    vim.health.error('Neovim ' .. version .. ' is too old', 'install Neovim 0.12')
  end
end

--- What `fimble doctor` says, fact by fact.
local function check_install(program)
  if vim.fn.executable(program) == 0 then
    vim.health.error('there is no program `' .. program .. '`', {
      '`pipx install .` in a copy of Fimble, then start Neovim anew',
      "or name it: require('fimble').setup({ cmd = { '/path/to/fimble', 'lsp' } })",
    })
    return
  end
  local done = vim.system({ program, 'doctor', '--json' }, { text = true }):wait(60000)
  local is_read, report = pcall(vim.json.decode, done.stdout or '')
  if not is_read then
    vim.health.error('`' .. program .. ' doctor` does not answer: ' .. (done.stderr or ''))
    return
  end
  for _, fact in ipairs(report.facts) do
    local line = fact.name .. ': ' .. fact.detail
    local remedy = fact.remedy ~= '' and fact.remedy or nil
    if fact.state == 'broken' then
      vim.health.error(line, remedy)
    elseif fact.state == 'ok' then
      vim.health.ok(line)
    elseif not vim.startswith(fact.name, 'extra') then
      vim.health.info(line)
    end
  end
end

local function check_clients()
  local clients = vim.lsp.get_clients({ name = 'fimble' })
  if #clients == 0 then
    vim.health.info('no buffer has a language server yet: open a file')
  end
  for _, client in ipairs(clients) do
    vim.health.ok('a language server runs, for ' .. #vim.tbl_keys(client.attached_buffers) .. ' buffers')
  end
end

local function check_keys()
  for name, key in pairs(require('fimble').options.keys) do
    local mapped = key and vim.fn.maparg(key, 'i', false, true) or {}
    if key and mapped.desc and not vim.startswith(mapped.desc, 'Fimble') then
      vim.health.warn(key .. ' (' .. name .. ') was mapped by something else: ' .. mapped.desc)
    end
  end
end

function M.check()
  vim.health.start('Fimble')
  check_neovim()
  check_install(require('fimble').options.cmd[1])
  check_clients()
  check_keys()
end

return M
