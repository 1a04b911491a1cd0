# frozen_string_literal: true

# An immutable builder for web addresses.

module DemoUrl
  # Holds the parts of an address; every change gives back a new object.
  class Address
    include Comparable

    DEFAULT_PORTS = { "http" => 80, "https" => 443 }.freeze
    UNRESERVED = /[^A-Za-z0-9\-._~]/

    attr_reader :scheme, :host, :port, :segments, :params, :anchor

    class << self
      # Splits a complete address into its parts and builds an object from them.
      #
      #   DemoUrl::Address.parse("http://example.org/a?b=c").host  # => "example.org"
      def parse(text)
        found = text.match(%r{\A(\w+)://([^/:?#]+)(?::(\d+))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?\z})
        raise ArgumentError, "not an absolute address: #{text.inspect}" unless found

        scheme, host, port, path, query, anchor = found.captures
        params = query.to_s.split("&").to_h { |pair| pair.split("=", 2).map { |part| unescape(part) } }
        new(scheme: scheme, host: host, port: port&.to_i, segments: path.split("/").drop(1),
            params: params, anchor: anchor)
      end

      # Replaces every byte that is not allowed in an address by its percent code.
      def escape(text)
        text.to_s.gsub(UNRESERVED) do |char|
          char.bytes.map { |byte| format("%%%02X", byte) }.join
        end
      end

      # Decodes percent codes and plus signs back into the characters they stand for.
      def unescape(text)
        bytes = text.tr("+", " ").b.gsub(/%(\h\h)/) { Regexp.last_match(1).hex.chr }
        bytes.force_encoding(Encoding::UTF_8)
      end
    end

    # Takes the parts of the address; the port may be left out if it is the usual one for the scheme.
    def initialize(scheme:, host:, port: nil, segments: [], params: {}, anchor: nil)
      @scheme = scheme.downcase
      @host = host.downcase
      @port = port || DEFAULT_PORTS[@scheme]
      @segments = segments.map(&:to_s).freeze
      @params = params.transform_keys(&:to_s).freeze
      @anchor = anchor
      freeze
    end

    # Appends path segments and resolves "." and ".." among them.
    def join(*parts)
      resolved = segments.dup
      parts.flat_map { |part| part.to_s.split("/") }.each do |part|
        case part
        when "", "." then next
        when ".." then resolved.pop
        else resolved << part
        end
      end
      with(segments: resolved)
    end

    # Adds query parameters and removes those whose value is nil.
    def query(**changes)
      merged = params.merge(changes.transform_keys(&:to_s))
      with(params: merged.compact)
    end

    # Returns the same address without its query parameters and anchor.
    def bare
      with(params: {}, anchor: nil)
    end

    # Tells whether the connection to this address would be encrypted.
    def secure? = scheme == "https"

    # Checks whether scheme, host and port of both addresses agree.
    def same_origin?(other)
      [scheme, host, port] == [other.scheme, other.host, other.port]
    end

    # Orders addresses by their text.
    def <=>(other)
      to_s <=> other.to_s
    end

    # Assembles the text of the address and leaves out a port that is the default of the scheme.
    def to_s
      text = +"#{scheme}://#{host}"
      text << ":#{port}" if port && port != DEFAULT_PORTS[scheme]
      text << "/" << segments.map { |part| self.class.escape(part) }.join("/")
      unless params.empty?
        text << "?" << params.map { |pair| pair.map { |part| self.class.escape(part) }.join("=") }.join("&")
      end
      text << "##{anchor}" if anchor
      text
    end

    private

    # Copies the address and exchanges some of its parts.
    def with(**changes)
      current = { scheme: scheme, host: host, port: port, segments: segments, params: params, anchor: anchor }
      self.class.new(**current, **changes)
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  base = DemoUrl::Address.parse("https://Example.org:443/api?q=a%20b#top")
  raise "host" unless base.host == "example.org" && base.secure?
  raise "params" unless base.params == { "q" => "a b" } && base.anchor == "top"
  built = base.bare.join("v1", "../v2/users", 7).query(page: 2, name: "ä")
  raise "built #{built}" unless built.to_s == "https://example.org/api/v2/users/7?page=2&name=%C3%A4"
  raise "remove" unless built.query(name: nil).to_s.end_with?("page=2")
  raise "round trip" unless DemoUrl::Address.unescape(DemoUrl::Address.escape("ü/&?")) == "ü/&?"
  raise "origin" unless base.same_origin?(built)
  raise "compare" unless base == DemoUrl::Address.parse(base.to_s)
  raise "port" unless DemoUrl::Address.new(scheme: "http", host: "h", port: 8080).to_s == "http://h:8080/"
  begin
    DemoUrl::Address.parse("/relative")
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message.include?("/relative")
  end
  raise "dots" unless base.bare.join("./x//y").to_s == "https://example.org/api/x/y"
end
