# frozen_string_literal: true

# A cookie jar that stores what servers set and selects what to send back.

require "time"

module DemoCookies
  # One cookie with the rules for its use.
  class Cookie
    attr_reader :name, :value, :domain, :path, :expires

    # Reads a cookie from the value of a Set-Cookie header received from the given host.
    def self.parse(line, host:, now: Time.now)
      pair, *attributes = line.split(";").map(&:strip)
      name, value = pair.split("=", 2)
      raise ArgumentError, "no cookie in #{line.inspect}" if value.nil? || name.empty?

      rules = attributes.to_h { |attribute| attribute.split("=", 2).then { |key, text| [key.downcase, text || true] } }
      new(name, value, domain: rules.fetch("domain", host).delete_prefix("."), path: rules.fetch("path", "/"),
                       secure: rules.key?("secure"), expires: expiry(rules, now))
    end

    # Calculates when the cookie ends; Max-Age counts more than Expires, and neither means never.
    def self.expiry(rules, now)
      return now + Integer(rules["max-age"], 10) if rules.key?("max-age")

      rules.key?("expires") ? Time.parse(rules["expires"]) : nil
    end

    # Stores a cookie's value and the places it may be sent to.
    def initialize(name, value, domain:, path: "/", secure: false, expires: nil)
      @name = name
      @value = value
      @domain = domain.downcase
      @path = path
      @secure = secure
      @expires = expires
    end

    # Tells whether the cookie is out of date at the given moment.
    def expired?(now) = !expires.nil? && expires <= now

    # Decides whether a request to the host and path may carry this cookie.
    def sendable?(host, path, secure:)
      return false if @secure && !secure

      domain_fits?(host.downcase) && path_fits?(path)
    end

    # Returns the triple that makes a cookie replace an earlier one.
    def identity = [domain, path, name]

    # Writes the pair for a Cookie header.
    def to_s = "#{name}=#{value}"

    private

    # Accepts the domain itself and every host below it.
    def domain_fits?(host)
      host == domain || host.end_with?(".#{domain}")
    end

    # Accepts the path of the cookie and everything in folders below it.
    def path_fits?(requested)
      requested == path || requested.start_with?(path.end_with?("/") ? path : "#{path}/")
    end
  end

  # Holds the cookies of a client.
  class Jar
    include Enumerable

    # Creates an empty jar with a clock that can be replaced.
    def initialize(clock: Time)
      @clock = clock
      @cookies = {}
    end

    # Takes over cookies from response headers and drops those the server wants to be deleted.
    def store(host, *lines)
      lines.each do |line|
        cookie = Cookie.parse(line, host: host, now: @clock.now)
        cookie.expired?(@clock.now) ? @cookies.delete(cookie.identity) : @cookies[cookie.identity] = cookie
      end
      self
    end

    # Yields the cookies that are still valid and discards the others.
    def each(&block)
      @cookies.delete_if { |_, cookie| cookie.expired?(@clock.now) }
      @cookies.each_value(&block)
    end

    # Composes the Cookie header for a request, with the longest paths first.
    #
    # Returns nil if there is nothing to send.
    def header_for(host, path = "/", secure: true)
      fitting = select { |cookie| cookie.sendable?(host, path, secure: secure) }
      return nil if fitting.empty?

      fitting.sort_by.with_index { |cookie, index| [-cookie.path.length, index] }.join("; ")
    end

    # Removes all cookies, or only those of one domain.
    def clear!(domain = nil)
      domain ? @cookies.delete_if { |_, cookie| cookie.domain == domain } : @cookies.clear
      self
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  clock = Struct.new(:now).new(Time.utc(2021, 5, 1))
  jar = DemoCookies::Jar.new(clock: clock)
  jar.store("shop.example", "id=1; Path=/", "cart=a=b; Path=/cart; Secure", "gone=x; Max-Age=0")
  raise "count" unless jar.count == 2
  raise "header" unless jar.header_for("shop.example", "/cart/items") == "cart=a=b; id=1"
  raise "insecure" unless jar.header_for("shop.example", "/cart", secure: false) == "id=1"
  raise "path" unless jar.header_for("shop.example", "/cartoon") == "id=1"
  raise "foreign" unless jar.header_for("other.example").nil?
  jar.store("a.example", "t=1; Domain=.example; Expires=Sat, 01 May 2021 01:00:00 GMT")
  raise "domain" unless jar.header_for("b.example") == "t=1"
  clock.now += 3600
  raise "expired" unless jar.header_for("b.example").nil?
  jar.store("shop.example", "id=2; Path=/")
  raise "replaced" unless jar.header_for("shop.example") == "id=2"
  raise "clear" unless jar.clear!("shop.example").none?
  begin
    jar.store("h", "nonsense")
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == 'no cookie in "nonsense"'
  end
end
