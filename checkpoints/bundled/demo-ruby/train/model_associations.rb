# frozen_string_literal: true

# Records in memory with associations between them, and migrations of their store.

module DemoRecords
  # Raised when no record has the requested id.
  class RecordNotFound < StandardError; end

  # Keeps the records of all classes.
  class Store
    # Creates a store without tables.
    def initialize
      @tables = Hash.new { |hash, name| hash[name] = {} }
      @sequence = Hash.new(0)
    end

    # Gives a record the next free id of its table and stores it.
    def insert(record)
      table = record.class
      record.id ||= (@sequence[table] += 1)
      @tables[table][record.id] = record
    end

    # Returns all records of a class in the order they were inserted.
    def all(table) = @tables[table].values

    # Fetches a record by its id and raises RecordNotFound if there is none.
    def find(table, id)
      @tables[table].fetch(id) { raise RecordNotFound, "#{table} with id #{id} does not exist" }
    end

    # Removes a record and returns it, or nil if it was not stored.
    def delete(record)
      @tables[record.class].delete(record.id)
    end
  end

  # Base class of all records.
  class Record
    attr_accessor :id

    class << self
      attr_writer :store

      # Returns the store of this class or of the nearest parent that has one.
      def store
        @store || superclass.store
      end

      # Defines accessors for plain values.
      def fields(*names)
        attr_accessor(*names)
      end

      # Builds a record and inserts it into the store.
      def create(**values)
        new(**values).tap { |record| store.insert(record) }
      end

      # Looks a record up by id.
      def find(id) = store.find(self, id)

      # Selects the records whose attributes equal all the given values.
      def where(**conditions)
        store.all(self).select { |record| conditions.all? { |name, value| record.public_send(name) == value } }
      end

      # Returns the first record with the given values and creates it if there is none.
      def find_or_create_by(**values)
        where(**values).first || create(**values)
      end

      # Declares a reference to one record of another class through a column that holds its id.
      def belongs_to(name, class_name:)
        attr_accessor "#{name}_id"

        define_method(name) do
          key = public_send("#{name}_id")
          key && Object.const_get(class_name).find(key)
        end
        define_method("#{name}=") { |record| public_send("#{name}_id=", record&.id) }
      end

      # Declares a list of records that refer to this one, deleted along with it if dependent.
      def has_many(name, class_name:, key:, dependent: false)
        define_method(name) { Object.const_get(class_name).where(key => id) }
        dependents << name if dependent
      end

      # Declares a list that is reached through another association of the same object.
      def has_many_through(name, through:, source:)
        define_method(name) { public_send(through).map(&source).uniq }
      end

      # Names the associations that are deleted together with their owner.
      def dependents = (@dependents ||= [])
    end

    # Sets the given attributes through their writers.
    def initialize(**values)
      values.each { |name, value| public_send("#{name}=", value) }
    end

    # Deletes the record and everything that depends on it, and returns the number of deleted records.
    def destroy
      below = self.class.dependents.sum { |name| public_send(name).sum(&:destroy) }
      self.class.store.delete(self) ? below + 1 : below
    end

    # Considers records equal if they have the same class and id.
    def ==(other)
      other.instance_of?(self.class) && !id.nil? && id == other.id
    end
    alias eql? ==

    # Derives the hash code from class and id, in agreement with equality.
    def hash = [self.class, id].hash
  end

  # Applies numbered changes to a schema hash and can take them back.
  class Migrator
    attr_reader :version

    # Begins at version zero without any migrations.
    def initialize(schema)
      @schema = schema
      @migrations = []
      @version = 0
    end

    # Appends a migration with the change to make and the change that reverts it.
    def add(up:, down:)
      @migrations << [up, down]
      self
    end

    # Moves the schema forward or back to the wanted version, by default the latest.
    def migrate(target = @migrations.size)
      raise ArgumentError, "there is no version #{target}" unless target.between?(0, @migrations.size)

      while @version < target
        @migrations[@version].first.call(@schema)
        @version += 1
      end
      while @version > target
        @version -= 1
        @migrations[@version].last.call(@schema)
      end
      @schema
    end

    # Counts the migrations that have not been applied yet.
    def pending = @migrations.size - @version
  end
end

# A library member who borrows books.
class DemoMember < DemoRecords::Record
  fields :name
  has_many :loans, class_name: "DemoLoan", key: :member_id, dependent: true
  has_many_through :books, through: :loans, source: :book
end

# A book that can be lent.
class DemoBook < DemoRecords::Record
  fields :title
end

# Connects a member with a borrowed book.
class DemoLoan < DemoRecords::Record
  belongs_to :member, class_name: "DemoMember"
  belongs_to :book, class_name: "DemoBook"
end

if __FILE__ == $PROGRAM_NAME
  DemoRecords::Record.store = DemoRecords::Store.new
  mia = DemoMember.create(name: "Mia")
  atlas = DemoBook.create(title: "Atlas")
  2.times { DemoLoan.create(member: mia, book: atlas) }
  raise "through" unless mia.books == [atlas] && mia.loans.size == 2
  raise "belongs" unless DemoLoan.find(1).member.name == "Mia" && DemoLoan.new.book.nil?
  raise "find or create" unless DemoBook.find_or_create_by(title: "Atlas") == atlas
  raise "created" unless DemoBook.find_or_create_by(title: "Maps").id == 2
  raise "hash" unless [atlas, DemoBook.find(1)].uniq.size == 1
  raise "destroy" unless mia.destroy == 3 && DemoLoan.where.empty?
  begin
    DemoMember.find(1)
    raise "no error"
  rescue DemoRecords::RecordNotFound => e
    raise "text" unless e.message == "DemoMember with id 1 does not exist"
  end
  migrator = DemoRecords::Migrator.new({ users: [:id] })
  migrator.add(up: ->(s) { s[:users] << :name }, down: ->(s) { s[:users].delete(:name) })
  migrator.add(up: ->(s) { s[:tags] = [] }, down: ->(s) { s.delete(:tags) })
  raise "pending" unless migrator.pending == 2
  raise "up" unless migrator.migrate == { users: %i[id name], tags: [] }
  raise "down" unless migrator.migrate(0) == { users: [:id] } && migrator.version.zero?
end
