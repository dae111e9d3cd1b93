-- SPDX-License-Identifier: Apache-2.0
--
-- GUT-less and its neighbours on the port for Wireshark and tshark (docs/protocol.md says what is on the wire).
--
--     tshark -X lua_script:contrib/wireshark/gutless.lua -r capture.pcap
--     cp contrib/wireshark/gutless.lua ~/.local/lib/wireshark/plugins/
--
-- Preferences: the UDP ports, and those that are FOU ports with the protocol they carry (5555:4,5556:47).
-- Filters: gutless, gutless.check.status == "bad", gutless.option.group.id == 7, gue0.remote_checksum.start ...

local gutless = Proto("gutless", "GUT-less")
local gue = Proto("gue0", "Generic UDP Encapsulation, variant 0")
local fou = Proto("gutless_fou", "Foo over UDP")

gutless.prefs.ports = Pref.range("UDP ports", "6080", "GUE, bare IP and GUT-less, told by their first bits", 65535)
gutless.prefs.fou = Pref.string("FOU ports", "", "PORT:PROTOCOL, separated by commas")

local PROTOCOLS = {
    [1] = "ICMP", [4] = "IPv4", [6] = "TCP", [17] = "UDP", [33] = "DCCP", [41] = "IPv6", [47] = "GRE", [50] = "ESP",
    [58] = "ICMPv6", [59] = "nothing", [132] = "SCTP", [136] = "UDP-Lite", [143] = "Ethernet",
}
local CONTROLS = { [1] = "echo request", [2] = "echo reply", [3] = "report", [4] = "hello" }
local ACTIONS = { [0] = "skip", [1] = "drop", [2] = "drop and report", [3] = "drop and report unless multicast" }
local VARIANTS = { [0] = "GUE variant 0", [1] = "bare IP", [2] = "GUT-less", [3] = "reserved" }
local CHECK_BAD, CHECK_OK, CHECK_CUT, CHECK_NONE = 0, 1, 2, 3
local STATES = { [CHECK_BAD] = "bad", [CHECK_OK] = "ok", [CHECK_CUT] = "cut", [CHECK_NONE] = "none" }

-- What stands in an option, in the order of the wire: { name, bits } is a number, { name, bits, unit } one that is shown
-- times unit, { name, "octets", count } octets, { name, "address" } an IP address of either version, { name, "rest" } the rest.
local OPTIONS = {
    [0x00] = { name = "pad" },
    [0x01] = { name = "pad-n" },
    [0x0f] = {
        name = "pdm", { "scale_received", 8 }, { "scale_sent", 8 },
        { "packet", 16 }, { "last_received", 16 }, { "delta_received", 16 }, { "delta_sent", 16 },
    },
    [0x11] = { name = "ioam-constant" },
    [0x12] = { name = "alternate-marking", { "flow", 20 }, { "loss", 1 }, { "delay", 1 }, { "reserved", 10 } },
    [0x1b] = { name = "observed-address", { "family", 8 }, { "port", 16 }, { "address", "address" } },
    [0x1d] = { name = "understood" },
    [0x1c] = { name = "timing", { "sequence", 32 }, { "transmitted_ns", 64 } },
    [0x30] = { name = "min-path-mtu", { "minimum", 16 }, { "reported", 15, 2 }, { "reply", 1 } },
    [0x31] = { name = "ioam" },
    [0x58] = { name = "group", once = true, { "id", 32 } },
    [0x59] = { name = "remote-checksum", once = true, { "start", 16 }, { "offset", 16 } },
    [0x5a] = { name = "session", once = true, { "initiator", 32 }, { "target", 32 } },
    [0x5b] = { name = "auth", once = true, { "key_id", 16 }, { "sequence", 64 }, { "tag", "octets", 16 } },
}
for _, number in ipairs({ 0x1e, 0x3e, 0x5e, 0x7e, 0x9e, 0xbe, 0xde, 0xfe }) do
    OPTIONS[number] = { name = string.format("experiment-%02x", number) }
end

-- Bodies of control messages, and how long they may be.
local BODIES = {
    [1] = { { "id", 16 }, { "sequence", 16 }, { "data", "rest" } },
    [2] = { { "id", 16 }, { "sequence", 16 }, { "data", "rest" } },
    [3] = { most = 68, { "code", 8 }, { "pointer", 8 }, { "reserved", 16 }, { "quote", "rest" } },
}

-- The fields of GUE variant 0 in the order of their flags. `sub`: what stands in them.
local GUE_FIELDS = {
    { flag = 0x8000, name = "group", sub = { { "id", 32 } } },
    { flag = 0x7000, name = "security", sub = {} },
    { flag = 0x0800, name = "fragment", sub = { { "offset", 13 }, { "reserved", 2 }, { "more", 1 }, { "protocol", 8 }, { "identification", 40 } } },
    { flag = 0x0400, name = "transform", sub = { { "type", 8 }, { "protocol", 8 }, { "info", 16 } } },
    { flag = 0x0200, name = "remote_checksum", sub = { { "start", 16 }, { "offset", 16 } } },
    { flag = 0x0100, name = "header_checksum", sub = { { "checksum", 16 }, { "coverage", 16 } } },
    { flag = 0x0080, name = "nat_address_checksum", sub = { { "checksum", 16 }, { "reserved", 16 } } },
    { flag = 0x0040, name = "alternate_checksum", sub = { { "reserved", 16 }, { "coverage", 16 }, { "crc", 32 } } },
    { flag = 0x0020, name = "magic", sub = { { "value", "octets", 8 } } },
    { flag = 0x0001, name = "private_flags", sub = { { "flags", 32 } } },
}
local SECURITY = { { { "cookie", "octets", 8 } }, { { "cookie", "octets", 16 } }, { { "cookie", "octets", 32 } },
    { { "key_id", 32 }, { "payload_offset", 16 }, { "payload_length", 16 }, { "hmac", "octets", 32 } } }
local MAGIC = ByteArray.new("ffd871a2b4e7c965")
local PRIVATE_REMOTE = { { "flags", 32 }, { "start", 16 }, { "offset", 16 } }

local fields = {
    variant = ProtoField.uint8("gutless.variant", "Variant", base.DEC, VARIANTS, 0xc0),
    control = ProtoField.bool("gutless.control", "Control", 8, nil, 0x20),
    hlen = ProtoField.uint8("gutless.hlen", "Hlen", base.DEC, nil, 0x1f),
    next = ProtoField.uint8("gutless.next_header", "Next header", base.DEC, PROTOCOLS),
    type = ProtoField.uint8("gutless.control_type", "Control type", base.DEC, CONTROLS),
    check = ProtoField.uint16("gutless.check", "Check", base.HEX),
    status = ProtoField.uint8("gutless.check.status", "Check status", base.DEC, STATES),
    transport = ProtoField.uint8("gutless.transport.status", "Checksum without addresses", base.DEC, STATES),
    option = ProtoField.none("gutless.option", "Option"),
    option_type = ProtoField.uint8("gutless.option.type", "Type", base.HEX),
    option_name = ProtoField.string("gutless.option.name", "Name"),
    option_action = ProtoField.uint8("gutless.option.action", "Who does not know it", base.DEC, ACTIONS, 0xc0),
    option_change = ProtoField.bool("gutless.option.change", "May change on the way", 8, nil, 0x20),
    option_length = ProtoField.uint8("gutless.option.length", "Length"),
    option_data = ProtoField.bytes("gutless.option.data", "Data"),
    body = ProtoField.bytes("gutless.body", "Body"),
    bare = ProtoField.uint8("gutless.bare", "Bare IP, version", base.DEC, nil, 0xf0),
}
local gue_fields = {
    variant = ProtoField.uint8("gue0.variant", "Variant", base.DEC, VARIANTS, 0xc0),
    control = ProtoField.bool("gue0.control", "Control", 8, nil, 0x20),
    hlen = ProtoField.uint8("gue0.hlen", "Hlen", base.DEC, nil, 0x1f),
    next = ProtoField.uint8("gue0.protocol", "Protocol", base.DEC, PROTOCOLS),
    type = ProtoField.uint8("gue0.control_type", "Control type"),
    flags = ProtoField.uint16("gue0.flags", "Flags", base.HEX),
    surplus = ProtoField.bytes("gue0.surplus", "Surplus"),
    body = ProtoField.bytes("gue0.body", "Body"),
}
local fou_fields = { protocol = ProtoField.uint8("gutless_fou.protocol", "Protocol", base.DEC, PROTOCOLS) }
-- Makes the fields of a layout known under a prefix, in `into`.
local function register(into, prefix, layout)
    for _, one in ipairs(layout) do
        local name, bits = one[1], one[2]
        local key, label = prefix .. "." .. name, name:gsub("_", " ")
        if bits == "octets" or bits == "rest" then
            into[key] = ProtoField.bytes(key, label)
        elseif bits == "address" then
            into[key .. 4] = ProtoField.ipv4(key, label)
            into[key .. 16] = ProtoField.ipv6(key .. "6", label)
        else
            local size = bits <= 8 and 8 or bits <= 16 and 16 or bits <= 32 and 32 or 64
            into[key] = ProtoField[bits == 1 and "bool" or "uint" .. size](key, label)
        end
    end
end

local function prefix_of(option)
    return "gutless.option." .. option.name:gsub("-", "_")
end
for _, option in pairs(OPTIONS) do
    register(fields, prefix_of(option), option)
end
register(fields, "gutless.echo", BODIES[1])
register(fields, "gutless.report", BODIES[3])
for _, field in ipairs(GUE_FIELDS) do
    gue_fields[field.name] = ProtoField.none("gue0." .. field.name, (field.name:gsub("_", " ")))
    register(gue_fields, "gue0." .. field.name, field.sub)
end
register(gue_fields, "gue0.security", SECURITY[1])
register(gue_fields, "gue0.security", SECURITY[4])
register(gue_fields, "gue0.private_flags", PRIVATE_REMOTE)

gutless.fields, gue.fields, fou.fields = fields, gue_fields, fou_fields

local problems = {
    check = ProtoExpert.new("gutless.check.bad", "Check: the payload is not neutral", expert.group.CHECKSUM, expert.severity.ERROR),
    check_remote = ProtoExpert.new("gutless.check.remote", "Check together with a remote checksum", expert.group.PROTOCOL, expert.severity.ERROR),
    cut = ProtoExpert.new("gutless.truncated", "Shorter than its header says", expert.group.MALFORMED, expert.severity.ERROR),
    variant = ProtoExpert.new("gutless.variant.unknown", "No format begins like this", expert.group.PROTOCOL, expert.severity.ERROR),
    zero = ProtoExpert.new("gutless.next_header.zero", "Next header 0", expert.group.PROTOCOL, expert.severity.ERROR),
    overrun = ProtoExpert.new("gutless.option.overrun", "The option overruns the header", expert.group.MALFORMED, expert.severity.ERROR),
    size = ProtoExpert.new("gutless.option.size", "The option has not the size of its type", expert.group.PROTOCOL, expert.severity.WARN),
    twice = ProtoExpert.new("gutless.option.twice", "The option stands at most once", expert.group.PROTOCOL, expert.severity.ERROR),
    remote = ProtoExpert.new("gutless.option.remote_checksum.bad", "Start and offset do not fit what follows", expert.group.PROTOCOL, expert.severity.ERROR),
    unknown = ProtoExpert.new("gutless.option.unknown", "Who does not know the option drops the packet", expert.group.PROTOCOL, expert.severity.NOTE),
    transport = ProtoExpert.new("gutless.transport.bad", "The checksum without addresses is wrong", expert.group.CHECKSUM, expert.severity.ERROR),
    body = ProtoExpert.new("gutless.control.body", "The message is too short or too long for its type", expert.group.MALFORMED, expert.severity.ERROR),
}
local gue_problems = {
    flags = ProtoExpert.new("gue0.flags.undefined", "A flag is not defined", expert.group.PROTOCOL, expert.severity.ERROR),
    length = ProtoExpert.new("gue0.length", "The fields do not fit the header", expert.group.MALFORMED, expert.severity.ERROR),
    cut = ProtoExpert.new("gue0.truncated", "Shorter than its header says", expert.group.MALFORMED, expert.severity.ERROR),
    zero = ProtoExpert.new("gue0.protocol.zero", "Protocol 0", expert.group.PROTOCOL, expert.severity.ERROR),
    magic = ProtoExpert.new("gue0.magic.bad", "Not the magic number", expert.group.PROTOCOL, expert.severity.WARN),
    remote = ProtoExpert.new("gue0.remote_checksum.bad", "Start and offset do not fit what follows", expert.group.PROTOCOL, expert.severity.ERROR),
}
gutless.experts, gue.experts = problems, gue_problems

-- One's complement sum (RFC 1071); an odd length counts as if a zero octet followed.
local function ones_sum(tvb, sum)
    local octets = tvb:bytes()
    for at = 0, octets:len() - 1 do
        sum = sum + octets:get_index(at) * (at % 2 == 0 and 256 or 1)
    end
    while sum > 0xffff do
        sum = sum % 0x10000 + math.floor(sum / 0x10000)
    end
    return sum
end

local function octets_of(layout)
    local bits = 0
    for _, one in ipairs(layout) do
        bits = bits + (one[2] == "octets" and 8 * one[3] or tonumber(one[2]) or 0)
    end
    return math.floor(bits / 8)
end

-- Shows the fields of a layout. Returns the numbers by name, nil where the octets are not those of the layout.
local function show(tree, into, prefix, layout, range)
    local at, values, last = 0, {}, layout[#layout][2]
    local more = range:len() - octets_of(layout)
    if more < 0 or more > 0 and last ~= "rest" and not (last == "address" and (more == 4 or more == 16)) then
        return nil
    end
    for _, one in ipairs(layout) do
        local bits, key = one[2], prefix .. "." .. one[1]
        if bits == "octets" then
            tree:add(into[key], range(at / 8, one[3]))
            bits = 8 * one[3]
        elseif bits == "address" or bits == "rest" then
            if more > 0 then
                tree:add(into[bits == "rest" and key or key .. more], range(at / 8))
            end
            bits = 8 * more
        else
            local value = range:bitfield(at, bits)
            local first = math.floor(at / 8)
            local part = range(first, math.ceil((at + bits) / 8) - first)
            values[one[1]] = value
            if bits == 1 then
                tree:add(into[key], part, value == 1)
            else
                tree:add(into[key], part, one[3] and value * one[3] or value)
            end
        end
        at = at + bits
    end
    return values
end

-- What is inside, by its protocol number.
local NAMED = { [4] = "ip", [41] = "ipv6", [143] = "eth_withoutfcs" }
local function hand_on(protocol, tvb, pinfo, tree)
    if tvb:len() == 0 or protocol == 59 or protocol == 0 then
        return
    end
    local name = NAMED[protocol]
    -- an inner packet that is cut is shown as that by its dissector, and is no error of this script
    local done, what = pcall(function()
        if name then
            Dissector.get(name):call(tvb, pinfo, tree)
        elseif DissectorTable.get("ip.proto"):try(protocol, tvb, pinfo, tree) == 0 then
            Dissector.get("data"):call(tvb, pinfo, tree)
        end
    end)
    if not done and not what:find("Malformed frame") then
        error(what)
    end
end

local function columns(pinfo, protocol, text)
    pinfo.cols.protocol, pinfo.cols.info = protocol, text
end

local function show_option(tree, tvb, at, stop, seen)
    local kind = tvb(at, 1):uint()
    local known = OPTIONS[kind]
    local name = known and known.name or string.format("0x%02x", kind)
    local length = kind ~= 0 and at + 1 < stop and tvb(at + 1, 1):uint() or 0
    local past = kind == 0 and at + 1 or at + 2 + length
    local item = tree:add(fields.option, tvb(at, math.min(past, stop) - at))
    item:set_text("Option: " .. name)
    item:add(fields.option_type, tvb(at, 1))
    item:add(fields.option_name, tvb(at, 1), name):set_generated()
    item:add(fields.option_action, tvb(at, 1))
    item:add(fields.option_change, tvb(at, 1))
    if past > stop then
        item:add_proto_expert_info(problems.overrun)
        return stop
    elseif kind == 0 then
        return past
    end
    item:add(fields.option_length, tvb(at + 1, 1))
    if length > 0 then
        item:add(fields.option_data, tvb(at + 2, length))
    end
    if known and known.once and seen[kind] then
        item:add_proto_expert_info(problems.twice)
    elseif not known and kind >= 0x40 then
        item:add_proto_expert_info(problems.unknown)
    end
    seen[kind] = true
    -- an observed address of no family is the question for one
    local question = kind == 0x1b and length > 0 and tvb(at + 2, 1):uint() == 0
    if known and #known > 0 and not question then
        local values = length > 0 and show(item, fields, prefix_of(known), known, tvb(at + 2, length))
        if not values then
            item:add_proto_expert_info(problems.size)
        elseif kind == 0x58 then
            item:append_text(" " .. values.id)
        elseif kind == 0x59 then
            seen.remote = values
        end
    end
    return past
end

local function show_control(tree, kind, tvb)
    local layout = BODIES[kind]
    if not layout then
        if tvb:len() > 0 then
            tree:add(fields.body, tvb())
        end
    elseif tvb:len() == 0 or tvb:len() > (layout.most or 0xffff) or
        not show(tree, fields, kind == 3 and "gutless.report" or "gutless.echo", layout, tvb()) then
        tree:add_proto_expert_info(problems.body)
    end
end

-- In transport mode the checksum is made with a pseudo-header whose addresses are zero (section 6).
local TRANSPORTS = { [6] = 16, [17] = 6, [58] = 2 }
local function show_transport(tree, protocol, tvb, whole, remote)
    local where = TRANSPORTS[protocol]
    if not where or tvb:len() < where + 2 or remote then
        return
    end
    local state = CHECK_CUT
    if protocol == 17 and tvb(where, 2):uint() == 0 then
        state = CHECK_NONE
    elseif whole then
        state = ones_sum(tvb, protocol + tvb:len()) == 0xffff and CHECK_OK or CHECK_BAD
    end
    local item = tree:add(fields.transport, tvb(where, 2), state):set_generated()
    if state == CHECK_BAD then
        item:add_proto_expert_info(problems.transport)
    end
end

local function remote_fits(remote, left)
    return remote.start <= remote.offset and remote.offset + 2 <= left
end

-- What GUE 0 and GUT-less have in common. Returns the octets of the header, C and the protocol, nil where it is cut.
local function show_base(item, into, told, tvb)
    item:add(into.variant, tvb(0, 1))
    item:add(into.control, tvb(0, 1))
    item:add(into.hlen, tvb(0, 1))
    local size = 4 + 4 * (tvb(0, 1):uint() % 32)
    if tvb:len() < size then
        item:add_proto_expert_info(told.cut)
        return nil
    end
    item:set_len(size)
    local control, protocol = tvb(0, 1):bitfield(2, 1) == 1, tvb(1, 1):uint()
    item:add(control and into.type or into.next, tvb(1, 1))
    if not control and protocol == 0 then
        item:add_proto_expert_info(told.zero)
    end
    return size, control, protocol
end

local function dissect_gutless(tvb, pinfo, tree)
    local item = tree:add(gutless, tvb())
    local size, control, protocol = show_base(item, fields, problems, tvb)
    columns(pinfo, "GUT-less", size and (control and "control" or "data") or "truncated")
    if not size then
        return
    end
    local check = item:add(fields.check, tvb(2, 2))
    local whole = tvb:reported_len() == tvb:len()
    local state = CHECK_NONE
    if tvb(2, 2):uint() ~= 0 then
        state = whole and (ones_sum(tvb, 0) == 0xffff and CHECK_OK or CHECK_BAD) or CHECK_CUT
    end
    item:add(fields.status, tvb(2, 2), state):set_generated()
    if state == CHECK_BAD then
        check:add_proto_expert_info(problems.check)
    end
    local at, seen = 4, {}
    while at < size do
        at = show_option(item, tvb, at, size, seen)
    end
    if seen.remote and state ~= CHECK_NONE then
        check:add_proto_expert_info(problems.check_remote)
    elseif seen.remote and not remote_fits(seen.remote, tvb:reported_len() - size) then
        item:add_proto_expert_info(problems.remote)
    end
    if control then
        local name = CONTROLS[protocol] or ("control " .. protocol)
        item:append_text(", " .. name)
        columns(pinfo, "GUT-less", name)
        item:set_len(tvb:len())
        show_control(item, protocol, tvb(size):tvb())
        return
    end
    item:append_text(", next " .. (PROTOCOLS[protocol] or protocol))
    columns(pinfo, "GUT-less", "next " .. (PROTOCOLS[protocol] or protocol))
    if tvb:len() > size then
        local inner = tvb(size):tvb()
        show_transport(item, protocol, inner, whole, seen.remote)
        hand_on(protocol, inner, pinfo, tree)
    end
end

-- Shows one field. Returns where the next one begins and the numbers in this one, nil where it does not fit.
local function show_gue_field(item, field, tvb, at, size, flags)
    local layout = field.sub
    if field.flag == 0x7000 then
        layout = SECURITY[math.floor(flags / 0x1000) % 8]
    elseif field.flag == 0x0001 and at < size and tvb(at, 1):uint() >= 0x80 then
        layout = PRIVATE_REMOTE
    end
    local past = at + octets_of(layout)
    if past > size then
        item:add_proto_expert_info(gue_problems.length)
        return nil
    end
    local sub = item:add(gue_fields[field.name], tvb(at, past - at))
    local values = show(sub, gue_fields, "gue0." .. field.name, layout, tvb(at, past - at))
    if field.name == "magic" and tvb(at, 8):bytes() ~= MAGIC then
        sub:add_proto_expert_info(gue_problems.magic)
    elseif field.name == "private_flags" and values.flags % 0x80000000 ~= 0 then
        sub:add_proto_expert_info(gue_problems.flags)
    end
    return past, values
end

local function dissect_gue(tvb, pinfo, tree)
    local item = tree:add(gue, tvb())
    local size, control, protocol = show_base(item, gue_fields, gue_problems, tvb)
    columns(pinfo, "GUE", size and (control and "control" or "data") or "truncated")
    if not size then
        return
    end
    local flags = tvb(2, 2):uint()
    local flags_item = item:add(gue_fields.flags, tvb(2, 2))
    if bit.band(flags, 0x7000) > 0x4000 or bit.band(flags, 0x001e) ~= 0 then
        flags_item:add_proto_expert_info(gue_problems.flags)
        return
    end
    local at, values, first = 4, nil, nil
    for _, field in ipairs(GUE_FIELDS) do
        if bit.band(flags, field.flag) ~= 0 then
            at, values = show_gue_field(item, field, tvb, at, size, flags)
            if not at then
                return
            end
            if values.start and not remote_fits(values, tvb:reported_len() - size) then
                item:add_proto_expert_info(gue_problems.remote)
            elseif field.name == "fragment" then
                first = values
            end
        end
    end
    if at < size then
        item:add(gue_fields.surplus, tvb(at, size - at))
    end
    item:append_text((control and ", control " or ", next ") .. (not control and PROTOCOLS[protocol] or protocol))
    if tvb:len() == size then
        return
    end
    if control or (first and (first.more == 1 or first.offset > 0)) then
        item:add(gue_fields.body, tvb(size))
        return
    end
    hand_on(protocol, tvb(size):tvb(), pinfo, tree)
end

function gutless.dissector(tvb, pinfo, tree)
    if tvb:len() == 0 then
        return 0
    end
    local first = tvb(0, 1):uint()
    local variant = math.floor(first / 64)
    if variant == 0 then
        dissect_gue(tvb, pinfo, tree)
    elseif variant == 2 then
        dissect_gutless(tvb, pinfo, tree)
    elseif variant == 1 and (first < 0x50 or first >= 0x60 and first < 0x70) then
        local item = tree:add(gutless, tvb(0, 1))
        item:append_text(", bare IP")
        item:add(fields.bare, tvb(0, 1))
        hand_on(first < 0x50 and 4 or 41, tvb, pinfo, tree)
    else
        local item = tree:add(gutless, tvb(0, 1))
        item:add(fields.variant, tvb(0, 1))
        item:add_proto_expert_info(problems.variant)
        columns(pinfo, "GUT-less", "no format begins like this")
    end
    return tvb:len()
end

local fou_ports = {}

function fou.dissector(tvb, pinfo, tree)
    local protocol = fou_ports[pinfo.dst_port] or fou_ports[pinfo.src_port]
    local item = tree:add(fou, tvb(0, 0))
    item:add(fou_fields.protocol, tvb(0, 0), protocol):set_generated()
    hand_on(protocol, tvb, pinfo, tree)
    return tvb:len()
end

-- Ports as the preferences have them; called again whenever those change.
local table_of_ports, ports_now = DissectorTable.get("udp.port"), nil

local function take_ports()
    if ports_now then
        table_of_ports:remove(ports_now, gutless)
    end
    for port in pairs(fou_ports) do
        table_of_ports:remove(port, fou)
    end
    fou_ports = {}
    ports_now = tostring(gutless.prefs.ports)
    table_of_ports:add(ports_now, gutless)
    for port, protocol in gutless.prefs.fou:gmatch("(%d+):(%d+)") do
        fou_ports[tonumber(port)] = tonumber(protocol)
        table_of_ports:add(tonumber(port), fou)
    end
end

gutless.prefs_changed = take_ports
take_ports()
