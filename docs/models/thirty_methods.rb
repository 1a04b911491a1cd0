# Thirty methods as they stand in everyday Ruby, without comments: what a model writes about them stands in ruby-mini's card.

class Invoice
  def overdue?
    !paid? && due_on < Date.today
  end

  def total_with_tax
    lines.sum { |line| line.amount * (1 + line.tax_rate) }
  end

  def mark_as_paid(at: Time.now)
    update!(paid_at: at, status: "paid")
    InvoiceMailer.receipt(self).deliver_later
  end

  def to_csv
    CSV.generate do |csv|
      csv << %w[number amount due_on]
      lines.each { |line| csv << [line.number, line.amount, line.due_on] }
    end
  end
end

module HttpHelpers
  def follow_redirects(uri, limit = 10)
    raise TooManyRedirects if limit.zero?

    response = Net::HTTP.get_response(uri)
    return response unless response.is_a?(Net::HTTPRedirection)

    follow_redirects(URI(response["location"]), limit - 1)
  end

  def parse_json_body(response)
    JSON.parse(response.body, symbolize_names: true)
  rescue JSON::ParserError
    nil
  end

  def with_retries(attempts: 3, wait: 0.5)
    tries = 0
    begin
      yield
    rescue IOError, Timeout::Error
      tries += 1
      raise if tries >= attempts

      sleep(wait * 2**tries)
      retry
    end
  end

  def basic_auth_header(user, password)
    "Basic " + Base64.strict_encode64("#{user}:#{password}")
  end
end

class Repository
  def current_branch
    git("rev-parse", "--abbrev-ref", "HEAD").chomp
  end

  def changed_files(since)
    git("diff", "--name-only", since).lines.map(&:chomp)
  end

  def checkout_branch(name, create: false)
    args = ["checkout"]
    args << "-b" if create
    git(*args, name)
  end

  def clean?
    git("status", "--porcelain").empty?
  end
end

class FileCache
  def fetch(key, ttl: 3600)
    path = path_for(key)
    return Marshal.load(File.binread(path)) if File.exist?(path) && File.mtime(path) > Time.now - ttl

    value = yield
    write(key, value)
    value
  end

  def write(key, value)
    FileUtils.mkdir_p(@root)
    File.binwrite(path_for(key), Marshal.dump(value))
  end

  def delete_expired(max_age)
    Dir.glob(File.join(@root, "*.cache")).each do |file|
      File.delete(file) if File.mtime(file) < Time.now - max_age
    end
  end

  def path_for(key)
    File.join(@root, Digest::SHA1.hexdigest(key.to_s) + ".cache")
  end
end

module TextTools
  def truncate_words(text, length = 30, omission = "...")
    words = text.split
    return text if words.length <= length

    words.first(length).join(" ") + omission
  end

  def camelize(term)
    term.to_s.split("_").map(&:capitalize).join
  end

  def strip_html_tags(html)
    html.gsub(/<[^>]*>/, "")
  end

  def word_frequencies(text)
    text.downcase.scan(/\w+/).tally.sort_by { |_, count| -count }.to_h
  end

  def levenshtein_distance(first, second)
    costs = (0..second.length).to_a
    first.each_char.with_index(1) do |a, i|
      previous, costs[0] = costs[0], i
      second.each_char.with_index(1) do |b, j|
        previous, costs[j] = costs[j], [costs[j] + 1, costs[j - 1] + 1, previous + (a == b ? 0 : 1)].min
      end
    end
    costs.last
  end
end

class User
  def full_name
    [first_name, last_name].compact.join(" ")
  end

  def authenticate(password)
    BCrypt::Password.new(password_digest) == password ? self : false
  end

  def generate_api_token
    self.api_token = SecureRandom.hex(32)
    save!
  end

  def admin?
    roles.any? { |role| role.name == "admin" }
  end

  def self.find_by_email(email)
    where("lower(email) = ?", email.downcase.strip).first
  end
end

class WorkerPool
  def start
    @threads = Array.new(@size) do
      Thread.new do
        while (job = @queue.pop)
          job.call
        end
      end
    end
  end

  def shutdown(timeout = 5)
    @size.times { @queue << nil }
    @threads.each { |thread| thread.join(timeout) || thread.kill }
  end

  def load_config(path)
    config = YAML.safe_load(File.read(path), symbolize_names: true)
    DEFAULTS.merge(config || {})
  end

  def running?
    @threads&.any?(&:alive?) || false
  end
end
