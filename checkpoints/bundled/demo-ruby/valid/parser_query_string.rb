# frozen_string_literal: true

# Query strings with nested keys, such as "user[name]=Ann&tags[]=a".

module DemoQueryString
  # Raised when two keys contradict each other, for example "a=1&a[b]=2".
  class ConflictError < ArgumentError; end

  module_function

  # Parses a query string into nested hashes and arrays.
  def parse(text)
    text.split(/[&;]/).reject(&:empty?).each_with_object({}) do |pair, result|
      key, value = pair.split("=", 2).map { |part| decode(part) }
      insert(result, path_of(key), value, key)
    end
  end

  # Splits a key such as "a[b][]" into its parts; an empty part stands for the end of an array.
  def path_of(key)
    head = key[/\A[^\[]+/] or return [key]
    [head, *key[head.length..].scan(/\[([^\[\]]*)\]/).flatten]
  end

  # Walks down the path, creates containers where they are missing, and stores the value at the end.
  def insert(container, path, value, key)
    head, *rest = path
    if rest.empty?
      container[head] = value
    elsif rest == [""]
      (container[head] ||= []).then { |list| expect(Array, list, key) << value }
    else
      inner = expect(Hash, container[head] ||= {}, key)
      insert(inner, rest, value, key)
    end
  end

  # Returns the object if it has the wanted class and raises ConflictError otherwise.
  def expect(type, object, key)
    return object if object.is_a?(type)

    raise ConflictError, "#{key} needs #{type}, but there is #{object.class} already"
  end

  # Builds a query string from nested data and leaves out values that are nil.
  def build(data)
    flatten(data).map { |key, value| "#{encode(key)}=#{encode(value)}" }.join("&")
  end

  # Turns nested data into a flat list of bracketed keys and plain values.
  def flatten(data, prefix = nil)
    case data
    when Hash
      data.flat_map { |key, value| flatten(value, prefix ? "#{prefix}[#{key}]" : key.to_s) }
    when Array then data.flat_map { |value| flatten(value, "#{prefix}[]") }
    when nil then []
    else [[prefix, data.to_s]]
    end
  end

  # Percent-encodes all bytes except letters, digits, brackets and a few marks; spaces become plus signs.
  def encode(text)
    text.to_s.b.gsub(/[^\w.\-~\[\] ]/n) { |byte| format("%%%02X", byte.ord) }.tr(" ", "+")
  end

  # Restores spaces and percent-encoded bytes and marks the result as UTF-8.
  #
  # Bytes that form no valid character are replaced by question marks.
  def decode(text)
    raw = text.tr("+", " ").b.gsub(/%\h\h/) { |code| code[1, 2].hex.chr }
    raw.force_encoding(Encoding::UTF_8).scrub("?")
  end

  # Changes some parameters in a query string and keeps the order of the others.
  def update(text, changes)
    build(parse(text).merge(changes.transform_keys(&:to_s)))
  end

  # Sorts the parameters and drops empty ones, so that equal queries get equal texts.
  def normalize(text)
    pairs = flatten(parse(text)).reject { |_, value| value.empty? }
    pairs.sort.map { |key, value| "#{encode(key)}=#{encode(value)}" }.join("&")
  end
end

if __FILE__ == $PROGRAM_NAME
  query = DemoQueryString
  data = query.parse("q=tea+pot&user[name]=Ann&user[tags][]=a&user[tags][]=%C3%A4&flag")
  raise "parse" unless data == { "q" => "tea pot", "user" => { "name" => "Ann", "tags" => %w[a ä] }, "flag" => nil }
  built = query.build({ a: 1, list: [1, nil, 2], deep: { x: { y: "1&2" } }, none: nil })
  raise "build #{built}" unless built == "a=1&list[]=1&list[]=2&deep[x][y]=1%262"
  raise "round trip" unless query.parse(query.build(data)) == data.compact
  raise "update" unless query.update("page=1&q=x", page: 2) == "page=2&q=x"
  raise "normalize" unless query.normalize("b=2&a=1&c=") == "a=1&b=2"
  raise "scrub" unless query.decode("%FFok") == "?ok"
  raise "path" unless query.path_of("a[b][]") == ["a", "b", ""]
  begin
    query.parse("a=1&a[b]=2")
    raise "no error"
  rescue DemoQueryString::ConflictError => e
    raise "text" unless e.message == "a[b] needs Hash, but there is String already"
  end
end
