# frozen_string_literal: true

# A case-insensitive collection of header fields for requests and responses.

module DemoHttp
  # Raised when a header name or value holds characters that would break the message.
  class HeaderError < ArgumentError; end

  # Header fields kept in the order they were first set.
  class Headers
    include Enumerable

    # Builds a collection from a block of raw text with one "Name: value" pair per line.
    #
    # Lines that begin with a space or a tab continue the value of the line before.
    def self.parse(text)
      headers = new
      last = nil
      text.each_line(chomp: true) do |line|
        next if line.empty?

        if line.start_with?(" ", "\t") && last
          headers[last] = "#{headers[last]} #{line.strip}"
        else
          last, value = line.split(":", 2)
          raise HeaderError, "no colon in header line #{line.inspect}" if value.nil?

          headers.add(last, value.strip)
        end
      end
      headers
    end

    # Creates a collection and copies every pair of the given hash into it.
    def initialize(pairs = {})
      @fields = {}
      pairs.each { |name, value| self[name] = value }
    end

    # Returns the value stored under a name, whatever its letter case, or nil when it is absent.
    def [](name)
      values = @fields[key_for(name)]
      values&.last&.join(", ")
    end

    # Replaces all values of a header with a single new one, or removes the header when the value is nil.
    def []=(name, value)
      return delete(name) if value.nil?

      check!(name, value)
      @fields[key_for(name)] = [canonical(name), [value.to_s]]
    end

    # Appends one more value to a header and keeps those already there.
    def add(name, value)
      check!(name, value)
      entry = (@fields[key_for(name)] ||= [canonical(name), []])
      entry.last << value.to_s
      self
    end

    # Removes a header and returns the values it had, joined by commas.
    def delete(name)
      removed = @fields.delete(key_for(name))
      removed && removed.last.join(", ")
    end

    # Checks whether a header with this name has been set, ignoring letter case.
    def key?(name) = @fields.key?(key_for(name))

    # Yields the canonical name and joined value of each header in insertion order.
    #
    # Returns an enumerator when no block is given.
    def each
      return enum_for(:each) { @fields.size } unless block_given?

      @fields.each_value { |name, values| yield name, values.join(", ") }
      self
    end

    # Returns a new collection in which the fields of the other one win over ours.
    def merge(other)
      result = self.class.new(to_h)
      other.each { |name, value| result[name] = value }
      result
    end

    # Extracts the media type from the Content-Type header, without parameters such as the charset.
    def media_type
      content_type = self["Content-Type"]
      return nil unless content_type

      content_type.split(";").first.strip.downcase
    end

    # Reads the charset parameter of the Content-Type header and falls back to UTF-8.
    def charset(default = "utf-8")
      found = self["Content-Type"].to_s[/;\s*charset="?([^";\s]+)/i, 1]
      found ? found.downcase : default
    end

    # Serializes all fields into lines that end with a carriage return and a line feed.
    def to_s
      map { |name, value| "#{name}: #{value}\r\n" }.join
    end

    private

    # Turns a name given as string or symbol into the lower-case key used for lookups.
    def key_for(name)
      name.to_s.tr("_", "-").downcase
    end

    # Writes a name in the usual capitalized form, for example "Content-Length".
    def canonical(name)
      name.to_s.split(/[-_]/).map(&:capitalize).join("-")
    end

    # Raises HeaderError if the name is not a plain token or the value contains a line break.
    def check!(name, value)
      raise HeaderError, "invalid header name #{name.inspect}" unless name.to_s.match?(/\A[A-Za-z0-9_-]+\z/)
      raise HeaderError, "line break in value of #{name}" if value.to_s.match?(/[\r\n]/)
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  headers = DemoHttp::Headers.new("content-type" => "text/html; charset=ISO-8859-1", accept: "*/*")
  raise "lookup" unless headers["CONTENT-TYPE"].start_with?("text/html")
  raise "media type" unless headers.media_type == "text/html"
  raise "charset" unless headers.charset == "iso-8859-1"
  headers.add("Accept", "text/plain")
  raise "add" unless headers["accept"] == "*/*, text/plain"
  raise "each" unless headers.each.to_a.map(&:first) == %w[Content-Type Accept]
  raise "merge" unless headers.merge("accept" => "image/png")["Accept"] == "image/png"
  raise "delete" unless headers.delete(:accept) == "*/*, text/plain" && !headers.key?("Accept")
  parsed = DemoHttp::Headers.parse("Host: example.org\nX-Long: one\n  two\n")
  raise "parse" unless parsed.to_s == "Host: example.org\r\nX-Long: one two\r\n"
  begin
    headers["Bad\nName"] = "x"
    raise "no error"
  rescue DemoHttp::HeaderError => e
    raise "message" unless e.message.include?("invalid header name")
  end
end
