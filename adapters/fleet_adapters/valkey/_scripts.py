"""The commit, as the server carries it out: one step that nothing comes between."""

from __future__ import annotations

from fleet_adapters.valkey._link import Script

COMMIT = Script("""
-- KEYS: the index, the expiring, then each document.
-- ARGV[1]: how many bytes of a document's key come before its own name; then for each document
--   what it expects (-1: anything) and its TTL in ms (0: none, -1: it is to be deleted).
-- ARGV[2...]: the values to put, in order.
-- Returns 'versions...', or '!', the number of the document that is not as expected, its version.
local index, expiring = KEYS[1], KEYS[2]
local numbers = {}
for number in string.gmatch(ARGV[1], '%S+') do numbers[#numbers + 1] = tonumber(number) end
local before = numbers[1]

local versions, timed = {}, false
for n = 1, #KEYS - 2 do
  local kept = redis.call('GETRANGE', KEYS[n + 2], 0, 19)
  local version = 0
  if kept ~= '' then
    version = tonumber(string.match(kept, '^(%d+) '))
    if not version then return redis.error_reply('FOREIGN number ' .. n) end
  end
  local expect = numbers[2 * n]
  if expect >= 0 and expect ~= version then
    return redis.status_reply('! ' .. n .. ' ' .. version)
  end
  versions[n] = version
  timed = timed or numbers[2 * n + 1] > 0
end

-- An error half-way would leave half a commit. The only ones that are left are of the two sets, by
-- their type: they come first, and a name too many in them is passed over.
local now = 0
if timed then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  local documents = string.sub(KEYS[3], 1, before)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', expiring, '-inf', now, 'LIMIT', 0, 8)) do
    local left = redis.call('PTTL', documents .. name)
    if left == -2 then redis.call('ZREM', index, name) end
    if left > 0 then
      redis.call('ZADD', expiring, now + left, name)
    else
      redis.call('ZREM', expiring, name)
    end
  end
end
for n, version in ipairs(versions) do
  local ttl = numbers[2 * n + 1]
  local name = string.sub(KEYS[n + 2], before + 1)
  if ttl >= 0 and version == 0 then redis.call('ZADD', index, 0, name) end
  if ttl > 0 then redis.call('ZADD', expiring, now + ttl, name) end
  if ttl < 0 and version > 0 then
    redis.call('ZREM', index, name)
    redis.call('ZREM', expiring, name)
  end
end

local value = 1
for n, version in ipairs(versions) do
  local ttl = numbers[2 * n + 1]
  if ttl < 0 then
    if version > 0 then redis.call('DEL', KEYS[n + 2]) end
    versions[n] = 0
  else
    value = value + 1
    versions[n] = version + 1
    local kept = (version + 1) .. ' ' .. ARGV[value]
    if ttl > 0 then
      redis.call('SET', KEYS[n + 2], kept, 'PX', ttl)
    else
      redis.call('SET', KEYS[n + 2], kept)
    end
  end
end
return redis.status_reply(table.concat(versions, ' '))
""")
