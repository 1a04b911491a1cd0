# frozen_string_literal: true

# A stack of middleware around an in-memory HTTP application.

module DemoMiddleware
  Request = Struct.new(:verb, :path, :headers, :body, keyword_init: true) do
    # Checks whether the request may be repeated without changing anything on the server.
    def safe? = %w[GET HEAD OPTIONS].include?(verb)

    # Tells whether the client asked for JSON in its Accept header.
    def json?
      (headers || {}).fetch("Accept", "").include?("application/json")
    end
  end

  Response = Struct.new(:status, :headers, :body, keyword_init: true) do
    # Reports whether the status code lies between 200 and 299.
    def success?
      (200..299).cover?(status)
    end

    # Tells whether the response sends the client to another location.
    def redirect?
      [301, 302, 303, 307, 308].include?(status) && headers.key?("Location")
    end

    # Raises an error that names the status unless the request succeeded, and returns the response otherwise.
    def ensure_success!
      return self if success?

      raise "request failed with status #{status}"
    end
  end

  # An ordered list of middleware classes with their arguments.
  class Stack
    # Sets up a stack without any middleware.
    def initialize
      @entries = []
    end

    # Appends a middleware class, which will wrap everything that is added after it.
    def use(klass, *args, **options)
      @entries << [klass, args, options]
      self
    end

    # Places a middleware directly in front of another one that is already in the stack.
    def insert_before(existing, klass, *args, **options)
      index = @entries.index { |entry| entry.first == existing }
      raise ArgumentError, "#{existing} is not in the stack" unless index

      @entries.insert(index, [klass, args, options])
      self
    end

    # Removes every occurrence of a middleware class and returns the stack.
    def without(klass)
      @entries.reject! { |entry| entry.first == klass }
      self
    end

    # Wraps the application in all middleware, so that the first one used is the outermost.
    def build(app)
      @entries.reverse.inject(app) do |inner, (klass, args, options)|
        klass.new(inner, *args, **options)
      end
    end
  end

  # Answers HEAD requests by running the matching GET request.
  class HeadAsGet
    # Remembers the application that does the work.
    def initialize(app)
      @app = app
    end

    # Passes the request on and drops the body of the response if the verb was HEAD.
    def call(request)
      return @app.call(request) unless request.verb == "HEAD"

      response = @app.call(Request.new(**request.to_h, verb: "GET"))
      response.body = ""
      response
    end
  end

  # Converts exceptions into responses.
  class RescueErrors
    # Takes a table that says which status code is sent for which exception class.
    def initialize(app, statuses: {})
      @app = app
      @statuses = { StandardError => 500 }.merge(statuses)
    end

    # Calls the application and turns any error it raises into a plain text response.
    def call(request)
      @app.call(request)
    rescue StandardError => e
      Response.new(status: status_for(e), headers: {}, body: e.message)
    end

    private

    # Looks for the most specific ancestor of the error's class that has a status code.
    def status_for(error)
      ancestor = error.class.ancestors.find { |candidate| @statuses.key?(candidate) }
      @statuses.fetch(ancestor)
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  app = lambda do |request|
    raise KeyError, "no such page" if request.path == "/missing"

    DemoMiddleware::Response.new(status: 200, headers: {}, body: "#{request.verb} #{request.path}")
  end
  stack = DemoMiddleware::Stack.new
  stack.use(DemoMiddleware::HeadAsGet)
  stack.insert_before(DemoMiddleware::HeadAsGet, DemoMiddleware::RescueErrors, statuses: { KeyError => 404 })
  wrapped = stack.build(app)
  get = DemoMiddleware::Request.new(verb: "GET", path: "/a", headers: { "Accept" => "application/json" })
  raise "get" unless wrapped.call(get).body == "GET /a"
  raise "predicates" unless get.safe? && get.json?
  head = DemoMiddleware::Request.new(verb: "HEAD", path: "/a")
  raise "head" unless wrapped.call(head).body.empty? && !head.json?
  failed = wrapped.call(DemoMiddleware::Request.new(verb: "GET", path: "/missing"))
  raise "status" unless failed.status == 404 && !failed.success?
  raise "without" unless stack.without(DemoMiddleware::RescueErrors).build(app).is_a?(DemoMiddleware::HeadAsGet)
  moved = DemoMiddleware::Response.new(status: 302, headers: { "Location" => "/b" }, body: "")
  raise "redirect" unless moved.redirect?
  begin
    failed.ensure_success!
    raise "no error"
  rescue RuntimeError => e
    raise "text" unless e.message == "request failed with status 404"
  end
end
